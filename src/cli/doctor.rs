//! `wayhome doctor`: what is missing or wrong at a node, and how to mend it.
//!
//! It looks first at what lies in the directory and at the machine, then asks the running node. Every
//! look is made, whatever the ones before came to; only where there is no party's directory at all,
//! that alone is said.

use serde_json::{Value, json};

mod machine;
mod place;
mod running;

use super::{CliError, Context};

/// Arguments of `wayhome doctor`.
#[derive(clap::Args)]
pub struct Args {}

/// How something is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Good,
    /// It works, and somebody has to do something about it.
    Soon,
    Wrong,
}

/// What a look came to.
struct Look {
    what: &'static str,
    how: How,
    /// What is so.
    said: String,
    /// What to do; empty where nothing is.
    remedy: String,
}

#[derive(Default)]
struct Looks(Vec<Look>);

impl Looks {
    fn soon(&mut self, what: &'static str, said: impl Into<String>, remedy: &str) {
        self.add(what, How::Soon, said, remedy);
    }

    fn good(&mut self, what: &'static str, said: impl Into<String>) {
        self.add(what, How::Good, said, "");
    }

    fn wrong(&mut self, what: &'static str, said: impl Into<String>, remedy: &str) {
        self.add(what, How::Wrong, said, remedy);
    }

    /// The node did not say it: to nobody who is not signed in, or for a reason in its own log.
    fn refused(&mut self, what: &'static str, status: &tonic::Status) {
        let remedy = match status.code() {
            tonic::Code::Unauthenticated | tonic::Code::PermissionDenied => {
                "this was not looked at: the node says it to a person who is signed in"
            }
            _ => "look at the node's log",
        };
        self.wrong(what, status.message(), remedy);
    }

    fn add(&mut self, what: &'static str, how: How, said: impl Into<String>, remedy: &str) {
        self.0.push(Look {
            what,
            how,
            said: said.into(),
            remedy: remedy.to_owned(),
        });
    }
}

pub async fn run(context: &Context, _args: Args) -> Result<(), CliError> {
    let mut looks = Looks::default();
    if place::is_there(context, &mut looks) {
        let config = place::look(context, &mut looks);
        machine::look(context, config.as_ref(), &mut looks).await;
        if let Some(config) = &config {
            place::doors(context, config, &mut looks).await;
        }
        // An office of an ombudsman runs none.
        let running = !context.directory.is_office() && running::look(context, &mut looks).await;
        if !running {
            place::expiry(context, &mut looks);
        }
    }
    let output = context.output;
    for look in &looks.0 {
        let mark = match look.how {
            How::Good => "ok   ",
            How::Soon => "soon ",
            How::Wrong => "WRONG",
        };
        output.say(format_args!("{mark}  {}: {}", look.what, look.said));
        if !look.remedy.is_empty() {
            output.say(format_args!("       {}", look.remedy));
        }
    }
    let wrong = looks.0.iter().filter(|look| look.how == How::Wrong).count();
    let object = json!({
        "ok": wrong == 0,
        "looks": looks.0.iter().map(to_json).collect::<Vec<_>>(),
    });
    output.object(&object);
    match wrong {
        0 => Ok(()),
        wrong => Err(CliError::failed(
            "NOT_WELL",
            format!("{wrong} of {} looks found something wrong", looks.0.len()),
        )
        .told()),
    }
}

fn to_json(look: &Look) -> Value {
    json!({
        "what": look.what,
        "how": match look.how {
            How::Good => "good",
            How::Soon => "soon",
            How::Wrong => "wrong",
        },
        "said": look.said,
        "remedy": look.remedy,
    })
}
