//! Who may sign which registry statement: `rules/ledger.toml`, a file of the rule bundle.
//!
//! A program has one bundle, and so one table. A log that activates another one is applied and
//! repeated by no program that lacks it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::{
    EngagementChange, NodeChange, OperatorChange, OrganizationChange, PrincipalChange, RoleChange,
    SystemKind, SystemRecord,
};
use crate::tlog::LeafIndex;

/// The table as it stands in the rule bundle.
pub(crate) const TABLE: &str = include_str!("../../rules/ledger.toml");

/// Where the first receipt keys stand.
pub(super) const KEYS_INDEX: LeafIndex = LeafIndex(1);

static V1: LazyLock<Permissions> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "compiled-in data, read by every test")]
    Permissions::read(TABLE).expect("the compiled-in table is complete")
});

/// What a registry statement does: its kind, and which of the kind's changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Action {
    kind: SystemKind,
    name: &'static str,
}

impl Action {
    /// Everything that a registry statement can do.
    pub const ALL: [Self; 25] = [
        Self::new(SystemKind::Genesis, "found"),
        Self::new(SystemKind::Keys, "begin"),
        Self::new(SystemKind::Keys, "replace"),
        Self::new(SystemKind::Policy, "replace"),
        Self::new(SystemKind::Rules, "activate"),
        Self::new(SystemKind::Node, "admit"),
        Self::new(SystemKind::Node, "remove"),
        Self::new(SystemKind::Node, "rotate"),
        Self::new(SystemKind::Organization, "register"),
        Self::new(SystemKind::Organization, "suspend"),
        Self::new(SystemKind::Organization, "resume"),
        Self::new(SystemKind::Principal, "admit"),
        Self::new(SystemKind::Principal, "rotate"),
        Self::new(SystemKind::Principal, "revoke"),
        Self::new(SystemKind::Principal, "read_key"),
        Self::new(SystemKind::Principal, "end_read_key"),
        Self::new(SystemKind::Role, "grant"),
        Self::new(SystemKind::Role, "withdraw"),
        Self::new(SystemKind::Engagement, "grant"),
        Self::new(SystemKind::Engagement, "end"),
        Self::new(SystemKind::Access, "report"),
        Self::new(SystemKind::Controls, "declare"),
        Self::new(SystemKind::Operator, "admit"),
        Self::new(SystemKind::Operator, "revoke"),
        Self::new(SystemKind::Operator, "rotate"),
    ];

    const fn new(kind: SystemKind, name: &'static str) -> Self {
        Self { kind, name }
    }

    /// What this record does at this place of the log.
    pub const fn of(record: &SystemRecord, index: LeafIndex) -> Self {
        let name = match record {
            SystemRecord::Genesis(_) => "found",
            SystemRecord::Keys(_) if index.0 == KEYS_INDEX.0 => "begin",
            SystemRecord::Keys(_) | SystemRecord::Policy(_) => "replace",
            SystemRecord::Rules(_) => "activate",
            SystemRecord::Node(node) => match &node.change {
                NodeChange::Admit(_) => "admit",
                NodeChange::Remove(_) => "remove",
                NodeChange::Rotate { .. } => "rotate",
            },
            SystemRecord::Organization(organization) => match &organization.change {
                OrganizationChange::Register(_) => "register",
                OrganizationChange::Suspend { .. } => "suspend",
                OrganizationChange::Resume { .. } => "resume",
            },
            SystemRecord::Principal(principal) => match &principal.change {
                PrincipalChange::Admit(_) => "admit",
                PrincipalChange::Rotate(_) => "rotate",
                PrincipalChange::Revoke(_) => "revoke",
                PrincipalChange::ReadKey(_) => "read_key",
                PrincipalChange::EndReadKey => "end_read_key",
            },
            SystemRecord::Role(role) => match &role.change {
                RoleChange::Grant(_) => "grant",
                RoleChange::Withdraw(_) => "withdraw",
            },
            SystemRecord::Engagement(engagement) => match &engagement.change {
                EngagementChange::Grant(_) => "grant",
                EngagementChange::End => "end",
            },
            SystemRecord::Access(_) => "report",
            SystemRecord::Controls(_) => "declare",
            SystemRecord::Operator(operator) => match &operator.change {
                OperatorChange::Admit(_) => "admit",
                OperatorChange::Revoke(_) => "revoke",
                OperatorChange::Rotate(_) => "rotate",
            },
        };
        Self::new(record.kind(), name)
    }

    /// Which statement.
    pub const fn kind(self) -> SystemKind {
        self.kind
    }

    /// Its name in the table, unique within the kind.
    pub const fn name(self) -> &'static str {
        self.name
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ledger.{} {}", self.kind, self.name)
    }
}

/// Whose signature a registry statement needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignedBy {
    /// An operator that genesis lists, and the approval of every other one.
    AllOperators,
    /// An operator, and the approvals of as many others as genesis asks for.
    Operators,
    /// One operator.
    Operator,
    /// An administrator of the organisation that issues the statement.
    Administrator,
    /// The service key of genesis.
    Service,
}

/// Why a table does not fit the program: always a mistake in our own data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PermissionError {
    /// It is not the TOML that it must be.
    #[error("it does not parse")]
    Toml(#[from] toml::de::Error),
    /// A row for something that no statement does.
    #[error("ledger.{kind} {action} is no statement")]
    Unknown {
        /// The kind of the row.
        kind: String,
        /// The action of the row.
        action: String,
    },
    /// Two rows for one thing.
    #[error("{0} has two rows")]
    Duplicate(Action),
    /// No row for something that a statement does.
    #[error("{0} has no row")]
    Missing(Action),
    /// Says something of suspended organisations where no organisation signs.
    #[error("{0} is not signed by an organisation, which could be suspended")]
    NotOfAnOrganization(Action),
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    statement: Vec<Row>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    kind: String,
    action: String,
    signed_by: SignedBy,
    #[serde(default)]
    while_suspended: bool,
}

/// What the table says of one action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Permission {
    signed_by: SignedBy,
    while_suspended: bool,
}

/// The table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions(BTreeMap<Action, Permission>);

impl Permissions {
    /// The table of the rule bundle of version 1.
    pub fn v1() -> &'static Self {
        &V1
    }

    /// Reads a table, which has exactly one row for each of [`Action::ALL`].
    pub fn read(text: &str) -> Result<Self, PermissionError> {
        let file: File = toml::from_str(text)?;
        let mut rows = BTreeMap::new();
        for row in file.statement {
            let mut actions = Action::ALL.into_iter();
            let action = actions.find(|one| one.kind.name() == row.kind && one.name == row.action);
            let Some(action) = action else {
                let Row { kind, action, .. } = row;
                return Err(PermissionError::Unknown { kind, action });
            };
            if row.while_suspended && row.signed_by != SignedBy::Administrator {
                return Err(PermissionError::NotOfAnOrganization(action));
            }
            let permission = Permission {
                signed_by: row.signed_by,
                while_suspended: row.while_suspended,
            };
            if rows.insert(action, permission).is_some() {
                return Err(PermissionError::Duplicate(action));
            }
        }
        let mut actions = Action::ALL.into_iter();
        match actions.find(|action| !rows.contains_key(action)) {
            Some(action) => Err(PermissionError::Missing(action)),
            None => Ok(Self(rows)),
        }
    }

    /// Whose signature this needs; none for what the table does not know, which is nothing that a
    /// statement does.
    pub fn signed_by(&self, action: Action) -> Option<SignedBy> {
        self.0.get(&action).map(|row| row.signed_by)
    }

    /// Whether an administrator of a suspended organisation may do this: it takes a right away, and
    /// nobody gains one by it.
    pub fn while_suspended(&self, action: Action) -> bool {
        self.0.get(&action).is_some_and(|row| row.while_suspended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_a_doubled_and_an_unknown_row_are_refused() {
        let parts: Vec<&str> = TABLE.split_inclusive("[[statement]]\n").collect();
        assert_eq!(parts.len(), Action::ALL.len() + 1);
        for action in Action::ALL {
            let (kind, name) = (action.kind(), action.name());
            let ours = format!("kind = \"{kind}\"\naction = \"{name}\"\n");
            let places = (0..parts.len()).filter(|place| parts[*place].starts_with(&ours));
            let places: Vec<usize> = places.collect();
            let [place] = places.as_slice() else {
                panic!("{action}: {places:?}");
            };
            // A part ends with the head of the next row.
            let mut without = parts.clone();
            without.remove(*place);
            let without = without.concat();
            let without = without.trim_end_matches("[[statement]]\n");
            assert!(
                matches!(Permissions::read(without), Err(PermissionError::Missing(one)) if one == action),
                "{action}"
            );
            let doubled = format!("{TABLE}\n[[statement]]\n{ours}signed_by = \"service\"\n");
            assert!(
                matches!(Permissions::read(&doubled), Err(PermissionError::Duplicate(one)) if one == action),
                "{action}"
            );
        }
        let unknown = TABLE.replace("action = \"suspend\"", "action = \"suspnd\"");
        assert!(matches!(
            Permissions::read(&unknown),
            Err(PermissionError::Unknown { .. })
        ));
        let operators = "signed_by = \"operators\"\n";
        let suspended = TABLE.replacen(
            operators,
            &format!("{operators}while_suspended = true\n"),
            1,
        );
        assert!(matches!(
            Permissions::read(&suspended),
            Err(PermissionError::NotOfAnOrganization(_))
        ));
        let nobody = TABLE.replacen("\"all_operators\"", "\"nobody\"", 2);
        assert!(matches!(
            Permissions::read(&nobody),
            Err(PermissionError::Toml(_))
        ));
    }
}
