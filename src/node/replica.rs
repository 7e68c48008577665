//! Keeping up with the other processes of the node, where several work on one database.
//!
//! Most of what a node knows is read from the database whenever it matters. What is kept in memory
//! besides, because every query needs it, is looked at here: a change that one process made is in
//! force in all of them a moment later.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::pause::pause;
use crate::exchange::{Party, epochs, policy, rosters};
use crate::store::StoreError;

/// How often it is looked whether another process changed something.
const LOOK: Duration = Duration::from_secs(1);

/// Keeps up until the node stops.
pub async fn follow(party: Arc<Party>, mut stopped: watch::Receiver<bool>) {
    while pause(LOOK, &mut stopped).await {
        if let Err(error) = look(&party).await {
            tracing::warn!(%error, "it is not known what other processes of this node changed");
        }
    }
}

async fn look(party: &Party) -> Result<(), StoreError> {
    rosters::follow(party).await?;
    policy::follow(party).await?;
    epochs::open(party).await.map(drop)
}
