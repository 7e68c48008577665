//! The stylesheet and the script: files of the program, under names that hold their digests.

use std::sync::OnceLock;

use axum::Router;
use axum::routing::get;
use ring::digest::{SHA256, digest};

use super::forms::file;

/// A file of the program.
pub struct Asset {
    content: &'static str,
    content_type: &'static str,
    extension: &'static str,
    name: OnceLock<String>,
}

static STYLESHEET: Asset = Asset {
    content: include_str!("assets/console.css"),
    content_type: "text/css; charset=utf-8",
    extension: "css",
    name: OnceLock::new(),
};

static SCRIPT: Asset = Asset {
    content: include_str!("assets/console.js"),
    content_type: "text/javascript; charset=utf-8",
    extension: "js",
    name: OnceLock::new(),
};

/// How pages look.
#[must_use]
pub fn stylesheet() -> &'static Asset {
    &STYLESHEET
}

/// What helps where scripts run; nothing depends on it.
#[must_use]
pub fn script() -> &'static Asset {
    &SCRIPT
}

impl Asset {
    /// Its address.
    #[must_use]
    pub fn address(&self) -> String {
        let name = self.name.get_or_init(|| {
            let digest = digest(&SHA256, self.content.as_bytes());
            let short = digest.as_ref().get(..8).unwrap_or_default();
            format!("/assets/{}.{}", hex::encode(short), self.extension)
        });
        name.clone()
    }
}

/// Adds both.
pub fn serve(mut routes: Router) -> Router {
    for asset in [&STYLESHEET, &SCRIPT] {
        let handler = get(move || async move { file(asset.content_type, asset.content) });
        routes = routes.route(&asset.address(), handler);
    }
    routes
}
