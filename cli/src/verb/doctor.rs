//! `aimslog doctor`: is everything as it must be, and if not, what to do.

mod checks;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::args::Connection;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::Output;
use crate::verb::runtime;

/// Check clock, connections, policy, key and role; say what to do about each.
///
/// Changes nothing, submits nothing. The exit code is that of the first thing that is wrong.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: aimslog doctor
         aimslog doctor --context audit --json")]
pub(crate) struct Doctor {}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    check: String,
    ok: bool,
    /// What was found.
    detail: String,
    /// What to do; empty where all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
    #[serde(skip)]
    exit: Exit,
}

impl Finding {
    fn ok(check: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            check: check.into(),
            ok: true,
            detail: detail.into(),
            advice: None,
            exit: Exit::Ok,
        }
    }

    fn bad(
        check: impl Into<String>,
        exit: Exit,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            check: check.into(),
            ok: false,
            detail: detail.into(),
            advice: Some(advice.into()),
            exit,
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mark = if self.ok { "OK   " } else { "WRONG" };
        write!(f, "{mark} {:<12} {}", self.check, self.detail)?;
        match &self.advice {
            Some(advice) => write!(f, "\n                   -> {advice}"),
            None => Ok(()),
        }
    }
}

impl Doctor {
    #[expect(clippy::unused_self, reason = "every command runs the same way")]
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let context = Context::resolve(flags)?;
        let findings = runtime()?.block_on(checks::all(&context));
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        output.data(&findings, lines.join("\n"))?;
        Ok(worst(&findings))
    }
}

/// The exit code of the first finding that is wrong.
fn worst(findings: &[Finding]) -> Exit {
    findings
        .iter()
        .find(|finding| !finding.ok)
        .map_or(Exit::Ok, |finding| finding.exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_wrong_thing_gives_the_exit_code() {
        let fine = || Finding::ok("clock", "fine");
        let bad = |exit| Finding::bad("policy", exit, "is none", "fix it");
        assert_eq!(worst(&[fine()]), Exit::Ok);
        let findings = [fine(), bad(Exit::Usage), bad(Exit::Unreachable)];
        assert_eq!(worst(&findings), Exit::Usage);
    }

    #[test]
    fn what_is_wrong_comes_with_what_to_do() {
        let said = Finding::bad("key", Exit::Usage, "mode 644", "chmod 600 it").to_string();
        assert!(
            said.starts_with("WRONG") && said.ends_with("-> chmod 600 it"),
            "{said}"
        );
    }
}
