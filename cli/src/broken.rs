//! What is wrong, as data: the one shape of violations and errors that `--json` prints.

use aimslog_client::ClientError;
use aimslog_proto::reason::{Reason, Violation};
use serde::Serialize;

use crate::exit::{Exit, exit_of};

/// A broken rule, and what to do about it where that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Broken {
    /// Where it is written: `file:line`, or a cell.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    reason: &'static str,
    field: String,
    rule: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nearest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
    #[serde(skip)]
    text: String,
}

impl Broken {
    /// The same with advice.
    pub(crate) fn advised(violation: &Violation, advice: impl Into<String>) -> Self {
        Self::from(violation).with_advice(advice)
    }

    /// The same with the place at which it is written.
    pub(crate) fn written_at(self, place: String) -> Self {
        let at = Some(place);
        Self { at, ..self }
    }

    /// The same with what to do about it.
    pub(crate) fn with_advice(self, advice: impl Into<String>) -> Self {
        let advice = Some(advice.into());
        Self { advice, ..self }
    }

    /// The field that it is about.
    pub(crate) fn field(&self) -> &str {
        &self.field
    }

    /// Where it is written.
    pub(crate) fn place(&self) -> Option<&str> {
        self.at.as_deref()
    }
}

impl From<&Violation> for Broken {
    fn from(violation: &Violation) -> Self {
        Self {
            at: None,
            reason: violation.reason.as_str(),
            field: violation.field.clone(),
            rule: violation.rule.clone(),
            found: violation.found.clone(),
            nearest: violation.nearest.clone(),
            advice: None,
            text: violation.to_string(),
        }
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)?;
        match &self.advice {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

/// Why a command failed.
#[derive(Debug, Serialize)]
pub(crate) struct Failed {
    /// A reason of the ledger, or what the exit code says.
    reason: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Broken>,
    exit_code: u8,
}

#[derive(Serialize)]
struct Document<'a> {
    error: &'a Failed,
}

impl Failed {
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        let exit = exit_of(error);
        let client = error.chain().find_map(|cause| cause.downcast_ref());
        let (reason, fields) = match client {
            Some(ClientError::Refused(refusal)) => (
                refusal.reason.map(Reason::as_str),
                refusal.violations.iter().map(Broken::from).collect(),
            ),
            Some(ClientError::Fork(_)) => (Some("FORK"), Vec::new()),
            _ => (None, Vec::new()),
        };
        Self {
            reason: reason.unwrap_or_else(|| exit.reason()),
            message: format!("{error:#}"),
            fields,
            exit_code: exit.code(),
        }
    }

    /// A command line that nobody understands.
    pub(crate) fn usage(message: String) -> Self {
        Self {
            reason: Exit::Usage.reason(),
            message,
            fields: Vec::new(),
            exit_code: Exit::Usage.code(),
        }
    }

    /// One line of JSON.
    pub(crate) fn line(&self) -> String {
        let document = Document { error: self };
        serde_json::to_string(&document).unwrap_or_else(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::UserError;

    #[test]
    fn errors_have_one_shape_whoever_found_them() {
        let violation =
            Violation::new(Reason::InvalidField, "decision", "one of APPROVE, OVERRIDE");
        let refusal = aimslog_client::Refusal {
            code: "InvalidArgument".to_owned(),
            reason: Some(Reason::InvalidField),
            message: String::new(),
            metadata: std::collections::BTreeMap::new(),
            violations: vec![violation.found("MAYBE")],
        };
        let refused = anyhow::Error::new(ClientError::from(refusal)).context("decision.json");
        let said: serde_json::Value = serde_json::from_str(&Failed::of(&refused).line()).unwrap();
        assert_eq!(said["error"]["reason"], "INVALID_FIELD");
        assert_eq!(said["error"]["exit_code"], 4);
        assert_eq!(said["error"]["fields"][0]["field"], "decision");
        assert_eq!(said["error"]["fields"][0]["found"], "MAYBE");
        let usage = Failed::of(&UserError::usage("no such file"));
        assert_eq!((usage.reason, usage.exit_code), ("USAGE", 2));
        assert_eq!(usage.message, "no such file");
    }

    #[test]
    fn advice_follows_the_rule() {
        let violation = Violation::new(Reason::VersionConflict, "previous", "the newest version");
        let said = Broken::advised(&violation, "amend that one").to_string();
        assert!(
            said.ends_with("the newest version; amend that one"),
            "{said}"
        );
    }
}
