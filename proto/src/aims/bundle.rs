//! The rule bundle: everything that a decision reads besides the log, compiled in and named by a
//! digest.
//!
//! Digest = SHA-256 over `aimslog-rules/v1\n` and then, for each file of `rules/` in the order of
//! their paths and last for `schema`: length of the name, name, length of the content, content;
//! lengths as 8 bytes big-endian. The content of `schema` is, for each kind in the order of their
//! names, the line `kind NAME VERSION` and the lines of [`MessageSchema::canonical_text`]: so the
//! digest covers types, enum values, formats and required fields, but no comment of a proto file.
//!
//! [`MessageSchema::canonical_text`]: super::schema::MessageSchema::canonical_text

mod error;

pub use error::{BundleError, GuardFault};

use super::catalog::{Catalogue, Control, ControlClaim, Scheme, Schemes};
use super::guards;
use super::kind::{Kind, Signer, Tables};
use super::nearest::nearest;
use super::role::{Reads, RoleRule};
use super::schema::SchemaReader;
use crate::pb::FILE_DESCRIPTOR_SET;
use crate::reason::{Reason, Violation};
use crate::system::Permissions;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

/// A file of the bundle: its path below `rules/`, and its text.
type File = (&'static str, &'static str);

// `FILES`: the `.toml` files of `rules/`, in the order of their paths.
include!(concat!(env!("OUT_DIR"), "/rule_files.rs"));

static V1: LazyLock<RuleBundle> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "compiled-in data, read by every test")]
    RuleBundle::read(FILES).expect("the compiled-in rule bundle is consistent")
});

/// Name of a rule bundle: SHA-256, see the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleDigest(pub [u8; 32]);

impl std::fmt::Display for BundleDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One version of all rules.
#[derive(Debug, Clone)]
pub struct RuleBundle {
    version: u32,
    digest: BundleDigest,
    predecessors: Vec<BundleDigest>,
    roles: Vec<RoleRule>,
    kinds: BTreeMap<(String, u32), Kind>,
    /// Kind and relation of the links that guards of their targets ask for.
    counted: BTreeSet<(String, String)>,
    kind_names: BTreeSet<String>,
    schemes: Arc<Schemes>,
    permissions: Permissions,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct BundleFile {
    version: u32,
    predecessors: Vec<String>,
    reserved_kinds: BTreeSet<String>,
    role: Vec<RoleRule>,
    scheme: Vec<SchemeEntry>,
}

/// A scheme without a catalogue.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct SchemeEntry {
    name: String,
    title: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct KindsFile {
    kind: Vec<Tables>,
}

impl RuleBundle {
    /// The bundle of version 1.
    pub fn v1() -> &'static Self {
        &V1
    }

    /// Version of the bundle.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The bundle of this digest, if this program contains it.
    pub fn of_digest(digest: [u8; 32]) -> Option<&'static Self> {
        let bundle = Self::v1();
        (bundle.digest.0 == digest).then_some(bundle)
    }

    /// Its name in headers.
    pub fn digest(&self) -> BundleDigest {
        self.digest
    }

    /// Earlier bundles whose statements are still accepted.
    pub fn predecessors(&self) -> &[BundleDigest] {
        &self.predecessors
    }

    /// Whether statements made under this bundle are accepted.
    pub fn is_accepting(&self, digest: BundleDigest) -> bool {
        digest == self.digest || self.predecessors.contains(&digest)
    }

    /// Roles that a principal can hold.
    pub fn roles(&self) -> &[RoleRule] {
        &self.roles
    }

    /// The role with this name; refuses one that nobody can hold.
    pub fn role(&self, name: &str) -> Result<&RoleRule, Violation> {
        if let Some(role) = self.roles.iter().find(|role| role.name == name) {
            return Ok(role);
        }
        let names: Vec<&str> = self.roles.iter().map(|role| role.name.as_str()).collect();
        let rule = format!("one of {}", names.join(", "));
        let violation = Violation::new(Reason::InvalidField, "roles", rule).found(name);
        Err(match nearest(name, names) {
            Some(near) => violation.nearest(near),
            None => violation,
        })
    }

    /// Which disclosures of its own organisation this principal may read.
    pub fn reads(&self, signer: Signer<'_>) -> Reads {
        let reads = self.held(signer.roles).map(|role| role.reads).max();
        let most = if signer.is_agent {
            Reads::Signed
        } else {
            Reads::All
        };
        reads.unwrap_or(Reads::None).min(most)
    }

    /// Whether this principal may read under engagements of other organisations. An AI agent never
    /// does.
    pub fn is_engaged(&self, signer: Signer<'_>) -> bool {
        !signer.is_agent && self.held(signer.roles).any(|role| role.engaged)
    }

    fn held<'s>(&'s self, roles: &'s [&str]) -> impl Iterator<Item = &'s RoleRule> {
        let is_held = |role: &&RoleRule| roles.contains(&role.name.as_str());
        self.roles.iter().filter(is_held)
    }

    /// All kinds, by name and version.
    pub fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.kinds.values()
    }

    /// The kind with this name and version; refuses an unknown one with the nearest known one.
    pub fn kind(&self, name: &str, version: u32) -> Result<&Kind, Violation> {
        if let Some(kind) = self.kinds.get(&(name.to_owned(), version)) {
            return Ok(kind);
        }
        let versions = self
            .kinds
            .keys()
            .filter(|(other, _)| other == name)
            .map(|(_, v)| *v);
        if let Some(newest) = versions.max() {
            let rule = "the version of the kind is one that the rule bundle defines";
            return Err(
                Violation::new(Reason::UnknownVersion, "header.content_type", rule)
                    .found(format!("{name} version {version}"))
                    .nearest(newest.to_string()),
            );
        }
        let rule = "the kind is one that the rule bundle defines";
        let violation =
            Violation::new(Reason::UnknownKind, "header.content_type", rule).found(name);
        let names = self.kinds.keys().map(|(other, _)| other.as_str());
        Err(match nearest(name, names) {
            Some(near) => violation.nearest(near),
            None => violation,
        })
    }

    /// The newest version of the kind with this name.
    pub fn newest_kind(&self, name: &str) -> Result<&Kind, Violation> {
        let newest = self
            .kinds
            .keys()
            .filter(|(other, _)| other == name)
            .map(|(_, v)| *v)
            .max();
        self.kind(name, newest.unwrap_or(1))
    }

    /// Whether links of this kind with this relation count at their targets, because a guard asks for
    /// them there.
    pub fn is_counted(&self, (kind, relation): (&str, &str)) -> bool {
        let mut counted = self.counted.iter();
        counted.any(|(name, counted)| name == kind && counted == relation)
    }

    /// Who signs which registry statement.
    pub fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// The schemes of control ids.
    pub fn schemes(&self) -> &Schemes {
        &self.schemes
    }

    /// Names of kinds that catalogues may speak of: those that the bundle defines or reserves.
    pub fn kind_names(&self) -> impl Iterator<Item = &str> {
        self.kind_names.iter().map(String::as_str)
    }

    /// What a catalogue says of things that the bundle does not have: kinds, and controls of its
    /// catalogues. `field` is where the catalogue stands, for the messages.
    pub fn check_catalogue<'c>(
        &'c self,
        field: &'c str,
        catalogue: &'c Catalogue,
    ) -> impl Iterator<Item = Violation> + 'c {
        self.schemes
            .check_catalogue(field, catalogue, &self.kind_names)
    }

    /// The control that a header's claim names; see [`Schemes::check`].
    pub fn check_control(&self, claim: ControlClaim<'_>) -> Result<Option<&Control>, Violation> {
        self.schemes.check("header.controls", claim)
    }

    fn read(files: &[File]) -> Result<Self, BundleError> {
        let bundle: BundleFile = parse(files, "bundle.toml")?;
        let permissions = Permissions::read(file(files, "ledger.toml")?)?;
        let mut tables = Vec::new();
        for (name, _) in files.iter().filter(|(name, _)| name.starts_with("kinds/")) {
            let area: KindsFile = parse(files, name)?;
            tables.extend(area.kind);
        }

        let mut names = bundle.reserved_kinds;
        names.extend(tables.iter().map(|tables| tables.name.clone()));
        let schemes = Arc::new(read_schemes(files, bundle.scheme, &names)?);
        let reader = SchemaReader::new(FILE_DESCRIPTOR_SET)?;
        let mut kinds = BTreeMap::new();
        for tables in tables {
            let kind = read_kind(&reader, &schemes, tables)?;
            super::cross::check_tables(&kind, &names, &bundle.role)?;
            let key = (kind.name.clone(), kind.version);
            if let Some(earlier) = kinds.insert(key, kind) {
                return Err(BundleError::Duplicate(earlier.name));
            }
        }
        guards::check(&kinds, &names)?;
        let predecessors = bundle
            .predecessors
            .iter()
            .map(|text| parse_digest(text))
            .collect::<Result<_, _>>()?;
        let digest = digest_of(files, &kinds);
        let version = bundle.version;
        Ok(Self {
            version,
            digest,
            predecessors,
            roles: bundle.role,
            counted: guards::counted(&kinds),
            kinds,
            kind_names: names,
            schemes,
            permissions,
        })
    }
}

#[cfg(test)]
impl RuleBundle {
    /// This bundle with other kinds, or why they contradict each other. Its digest stays as it is.
    pub(super) fn with_kinds(
        &self,
        kinds: BTreeMap<(String, u32), Kind>,
    ) -> Result<Self, BundleError> {
        let links = kinds.values().flat_map(Kind::links);
        let mut names: BTreeSet<String> = links.flat_map(|link| link.kinds.clone()).collect();
        names.extend(kinds.values().map(|kind| kind.name.clone()));
        guards::check(&kinds, &names)?;
        Ok(Self {
            counted: guards::counted(&kinds),
            kinds,
            ..self.clone()
        })
    }
}

fn parse<T: serde::de::DeserializeOwned>(
    files: &[File],
    name: &'static str,
) -> Result<T, BundleError> {
    let text = file(files, name)?;
    let file = name;
    toml::from_str(text).map_err(|source| BundleError::Toml { file, source })
}

fn file(files: &[File], name: &'static str) -> Result<&'static str, BundleError> {
    let found = files.iter().find(|(file, _)| *file == name);
    found
        .map(|(_, text)| *text)
        .ok_or(BundleError::MissingFile(name))
}

fn read_schemes(
    files: &[File],
    open: Vec<SchemeEntry>,
    kinds: &BTreeSet<String>,
) -> Result<Schemes, BundleError> {
    let mut names = BTreeSet::new();
    let mut schemes = Vec::new();
    for SchemeEntry { name, title } in open {
        let catalogue = None;
        schemes.push(Scheme {
            name,
            title,
            catalogue,
        });
    }
    for (file, text) in files {
        if file.starts_with("catalogues/") {
            let source = Catalogue::parse(text);
            let source = source.map_err(|source| BundleError::Catalogue { file, source });
            schemes.push(Scheme::of(source?));
        }
    }
    let twice = schemes.iter().find(|scheme| !names.insert(&scheme.name));
    if let Some(scheme) = twice {
        return Err(BundleError::Duplicate(scheme.name.clone()));
    }
    let schemes = Schemes::new(schemes);
    for catalogue in schemes.catalogues() {
        let mut found = schemes.check_catalogue(catalogue.scheme(), catalogue, kinds);
        if let Some(violation) = found.next() {
            return Err(BundleError::Undefined {
                place: violation.field,
                name: violation.found.unwrap_or_default(),
            });
        }
    }
    Ok(schemes)
}

fn read_kind(
    reader: &SchemaReader,
    schemes: &Arc<Schemes>,
    tables: Tables,
) -> Result<Kind, BundleError> {
    let schema = reader.message(&tables.message)?;
    let message: Vec<String> = schema
        .fields
        .iter()
        .map(|field| field.name.clone())
        .collect();
    if message != tables.fields {
        let (kind, listed) = (tables.name, tables.fields);
        return Err(BundleError::FieldList {
            kind,
            listed,
            message,
        });
    }
    let (name, version) = (tables.name.clone(), tables.version);
    Ok(Kind {
        name,
        version,
        schema,
        schemes: Arc::clone(schemes),
        tables,
    })
}

fn digest_of(files: &[File], kinds: &BTreeMap<(String, u32), Kind>) -> BundleDigest {
    let mut schema = String::new();
    for ((name, version), kind) in kinds {
        for part in ["kind ", name, " ", &version.to_string(), "\n"] {
            schema.push_str(part);
        }
        schema.push_str(&kind.schema.canonical_text());
    }
    let mut hasher = Sha256::new();
    hasher.update(b"aimslog-rules/v1\n");
    for (name, content) in files.iter().copied().chain([("schema", schema.as_str())]) {
        for part in [name, content] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
    }
    BundleDigest(hasher.finalize().into())
}

fn parse_digest(text: &str) -> Result<BundleDigest, BundleError> {
    let malformed = || BundleError::MalformedDigest(text.to_owned());
    parse_hex(text).map(BundleDigest).ok_or_else(malformed)
}

/// The digest that 64 lower-case hexadecimal digits write.
pub(super) fn parse_hex(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != digest.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
        let value = |digit: &u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        *byte = value(high)? * 16 + value(low)?;
    }
    Some(digest)
}

#[cfg(test)]
#[path = "bundle/tests.rs"]
mod tests;
