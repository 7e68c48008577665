//! What a form asks before it does what cannot be taken back.

use crate::console::forms::Sent;
use crate::console::gate::Visit;
use crate::console::problem::Stop;
use crate::console::view::{Choice, Field, Kind};

/// The name of the box.
const SURE: &str = "sure";

/// A box to tick, beside these words.
pub fn field(visit: &Visit, sent: &Sent, text: &str) -> Field {
    let yes = Choice::new("yes", visit.text("people-close-yes"), false);
    Field::new(SURE, visit.text(text), Kind::Any { choices: vec![yes] }).wrong(sent.wrong.of(SURE))
}

/// Sends who has not ticked the box back to it.
///
/// # Errors
/// The form again, with what is missing.
pub fn check(visit: &Visit, sent: &Sent) -> Result<(), Stop> {
    if sent.values.has(SURE, "yes") {
        return Ok(());
    }
    Err(Stop::at(SURE, visit.text("console-need-sure")))
}
