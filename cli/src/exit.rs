//! Exit codes, which scripts may rely on.

use std::process::ExitCode;

use aimslog_client::ClientError;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what was asked.
    Ok,
    /// What was to be verified does not verify, or nobody can tell; a node has an alarm.
    NotVerified,
    /// The command line, a file or the configuration is wrong.
    Usage,
    /// No node could be reached, or a file could not be read or written.
    Unreachable,
    /// The ledger refused it.
    Refused,
    /// The outcome is not known; repeating the same command is safe.
    OutcomeUnknown,
}

impl Exit {
    /// The code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::NotVerified => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Refused => 4,
            Self::OutcomeUnknown => 5,
        }
    }

    /// What it says, for programs.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::NotVerified => "NOT_VERIFIED",
            Self::Usage => "USAGE",
            Self::Unreachable => "UNREACHABLE",
            Self::Refused => "REFUSED",
            Self::OutcomeUnknown => "OUTCOME_UNKNOWN",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error that the user can act upon, with its exit code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct UserError {
    exit: Exit,
    message: String,
}

impl UserError {
    /// Something that the user said or wrote is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
        Self {
            exit: Exit::Usage,
            message: message.into(),
        }
        .into()
    }

    /// Something does not verify.
    pub(crate) fn not_verified(message: impl Into<String>) -> anyhow::Error {
        Self {
            exit: Exit::NotVerified,
            message: message.into(),
        }
        .into()
    }

    /// The ledger refused it.
    pub(crate) fn refused(message: impl Into<String>) -> anyhow::Error {
        Self {
            exit: Exit::Refused,
            message: message.into(),
        }
        .into()
    }
}

/// The exit code of an error, from whatever stands in its chain.
pub(crate) fn exit_of(error: &anyhow::Error) -> Exit {
    error.chain().find_map(exit_of_cause).unwrap_or(Exit::Usage)
}

fn exit_of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    if let Some(error) = cause.downcast_ref::<UserError>() {
        return Some(error.exit);
    }
    if let Some(error) = cause.downcast_ref::<ClientError>() {
        return Some(match error {
            ClientError::Refused(_) => Exit::Refused,
            ClientError::OutcomeUnknown { .. } => Exit::OutcomeUnknown,
            ClientError::Configuration { .. } => Exit::Usage,
            ClientError::Unverified { .. } | ClientError::Fork(_) => Exit::NotVerified,
            _ => Exit::Unreachable,
        });
    }
    cause
        .downcast_ref::<std::io::Error>()
        .map(|_| Exit::Unreachable)
}
