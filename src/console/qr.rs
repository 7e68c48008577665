//! A picture that an authenticator's camera reads.

use std::fmt::Write as _;

use qrcodegen::{QrCode, QrCodeEcc};

/// Modules of white around it (ISO/IEC 18004).
const QUIET: i32 = 4;

/// A text as a square of dots, SVG; none if it is too long for one.
#[must_use]
pub fn svg(text: &str) -> Option<String> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
    let size = code.size() + 2 * QUIET;
    let mut path = String::new();
    for y in 0..code.size() {
        for x in 0..code.size() {
            if code.get_module(x, y) {
                let _ = write!(path, "M{},{}h1v1h-1z", x + QUIET, y + QUIET);
            }
        }
    }
    Some(format!(
        "<svg class=\"qr\" viewBox=\"0 0 {size} {size}\" aria-hidden=\"true\" shape-rendering=\"crispEdges\">\
         <rect width=\"{size}\" height=\"{size}\" fill=\"#fff\"/><path d=\"{path}\" fill=\"#000\"/></svg>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_its_three_corners_and_white_around() {
        let svg = svg("otpauth://totp/x?secret=ABC").unwrap();
        // The outer row of the first corner: seven dark modules after the quiet zone, then a light one.
        for x in 4..11 {
            assert!(svg.contains(&format!("M{x},4h1")), "{x}");
        }
        assert!(!svg.contains("M11,4h1") && !svg.contains("M3,4h1"));
        assert!(super::svg(&"x".repeat(5_000)).is_none());
    }
}
