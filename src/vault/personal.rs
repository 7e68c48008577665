//! The holder of personal data: it cannot be printed, logged or serialised by accident.

use zeroize::{Zeroize, Zeroizing};

/// A text that is personal data: a name, a place, a document's number.
pub type PersonalText = Personal<String>;

/// A value that is personal data.
///
/// It has no `Debug`, `Display`, `Serialize` or `Deref`, so that it can reach a log line, an error
/// or a message only where someone wrote [`expose`](Personal::expose), and a reviewer can find
/// every such place. It has no `Clone` either: a copy is a decision. The value is wiped when it is
/// dropped.
///
/// ```
/// use wayhome::vault::Personal;
///
/// let name = Personal::new(String::from("Оксана"));
/// assert_eq!(name.expose(), "Оксана");
/// ```
///
/// It cannot be formatted:
///
/// ```compile_fail,E0277
/// use wayhome::vault::Personal;
///
/// let name = Personal::new(String::from("Оксана"));
/// println!("{:?}", name);
/// ```
///
/// ```compile_fail,E0277
/// use wayhome::vault::Personal;
///
/// let name = Personal::new(String::from("Оксана"));
/// println!("{}", name);
/// ```
///
/// nor sit in a type that derives `Debug`:
///
/// ```compile_fail,E0277
/// use wayhome::vault::Personal;
///
/// #[derive(Debug)]
/// struct Child {
///     name: Personal<String>,
/// }
/// ```
///
/// nor be serialised:
///
/// ```compile_fail,E0277
/// use wayhome::vault::Personal;
///
/// let name = Personal::new(String::from("Оксана"));
/// let _ = serde_json::to_string(&name);
/// ```
///
/// The same program with the value exposed does compile, so that the failures above are owed to
/// the type and to nothing else:
///
/// ```
/// use wayhome::vault::Personal;
///
/// let name = Personal::new(String::from("Оксана"));
/// let _ = serde_json::to_string(name.expose());
/// let _ = format!("{:?}", name.expose());
/// ```
pub struct Personal<T: Zeroize>(Zeroizing<T>);

impl<T: Zeroize> Personal<T> {
    /// Takes a value into care.
    pub fn new(value: T) -> Self {
        Self(Zeroizing::new(value))
    }

    /// Shows the value: the one way to it. Whoever calls this answers for where it goes.
    #[must_use]
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl From<&str> for Personal<String> {
    fn from(text: &str) -> Self {
        Self::new(text.to_owned())
    }
}

impl From<String> for Personal<String> {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    struct Witness(Rc<Cell<bool>>);

    impl Zeroize for Witness {
        fn zeroize(&mut self) {
            self.0.set(true);
        }
    }

    #[test]
    fn the_value_is_wiped_when_dropped_and_not_before() {
        let wiped = Rc::new(Cell::new(false));
        let held = Personal::new(Witness(Rc::clone(&wiped)));
        assert!(!held.expose().0.get());
        drop(held);
        assert!(wiped.get());
    }
}
