//! For whom a node acts.
//!
//! A person's request at the operator API may come to many acts: an import, a search at every member.
//! Each act's leaf names the person's account by its pseudonym. Who acts is handed down beside the
//! call, in the task, so that no act can be written without it by oversight; an act that is done for a
//! peer, or by the node itself, names nobody.

use std::future::Future;

tokio::task_local! {
    static ACTING: Option<[u8; 16]>;
}

/// Does work for an account, or for nobody.
pub async fn acting_for<T>(account: Option<[u8; 16]>, work: impl Future<Output = T>) -> T {
    ACTING.scope(account, work).await
}

/// The account that is acted for.
#[must_use]
pub fn account() -> Option<[u8; 16]> {
    ACTING.try_with(|account| *account).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_for_the_account_it_was_begun_for() {
        assert_eq!(account(), None);
        let seen = acting_for(Some([7; 16]), async { account() }).await;
        assert_eq!(seen, Some([7; 16]));
        assert_eq!(acting_for(None, async { account() }).await, None);
        assert_eq!(account(), None);
    }
}
