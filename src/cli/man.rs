//! `wayhome man`: the manual, a page for each command.

use std::path::{Path, PathBuf};

use clap_mangen::Man;
use serde_json::json;

use super::input::unusable;
use super::{CliError, Context, command};

/// Arguments of `wayhome man`.
#[derive(clap::Args)]
pub struct Args {
    /// The folder that the pages are written into; it is made if it is not there.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

pub fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let mut whole = command();
    whole.build();
    let mut pages = Vec::new();
    render(&whole, "wayhome", &mut pages)?;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error: std::io::Error| CliError::input("FOLDER", unusable(&path, &error))
    };
    std::fs::create_dir_all(&args.folder).map_err(failed(&args.folder))?;
    for (name, page) in &pages {
        let path = args.folder.join(name);
        std::fs::write(&path, page).map_err(failed(&path))?;
    }
    context.output.say(format_args!(
        "{} pages of the manual are in {}; `man {}` shows the first.",
        pages.len(),
        args.folder.display(),
        args.folder.join("wayhome.1").display()
    ));
    let names: Vec<&String> = pages.iter().map(|(name, _)| name).collect();
    context.output.object(&json!({"ok": true, "pages": names}));
    Ok(())
}

/// The page of a command and those of its commands, by file name.
fn render(
    command: &clap::Command,
    name: &str,
    pages: &mut Vec<(String, Vec<u8>)>,
) -> Result<(), CliError> {
    let mut page = Vec::new();
    // A page is called as its file is, and says how the command is typed.
    let typed = command.clone().display_name(name.to_owned());
    Man::new(typed)
        .render(&mut page)
        .map_err(|error| CliError::failed("MANUAL", error))?;
    pages.push((format!("{name}.1"), page));
    for below in command
        .get_subcommands()
        .filter(|below| below.get_name() != "help")
    {
        render(below, &format!("{name}-{}", below.get_name()), pages)?;
    }
    Ok(())
}
