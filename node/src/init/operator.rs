//! `aimslogd add-operator`: the folder of an operator who comes later, or only another certificate for
//! the admin listeners.
//!
//! The key is no operator's before the operators have logged that it is (`aimslog operator add`). The
//! certificate opens the admin listeners at once: it comes from the authority that the nodes trust.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use aimslog_proto::statement::id::EntryId;

use super::add::{AddError, authorities, genesis, read};
use super::layout::Folder;
use super::{InitError, random_key};
use crate::clock::Clock;
use crate::service::spiffe::ClusterTag;

/// An operator whose folder is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addition {
    /// What is left of the folder that `init` wrote: `authority/` and `public/` are read.
    pub from: PathBuf,
    /// The number in the certificate and in the name of the folder.
    pub number: NonZeroUsize,
    /// The folder to write, `operator-NUMBER` in `from` where it is not given; must be empty or missing.
    pub out: Option<PathBuf>,
    /// Makes no key: the operator has one, and needs another certificate.
    pub certificate_only: bool,
}

/// Files that everybody gets, and an operator too.
const PUBLIC: [&str; 4] = ["client-ca.pem", "policy.txt", "genesis.cose", "nodes.txt"];

/// Makes the folder and returns the words for the person who asked for it. Nothing is overwritten.
///
/// # Errors
/// [`AddError`], as for a node that joins.
pub fn add_operator(addition: &Addition, clock: &dyn Clock) -> Result<String, AddError> {
    let number = addition.number.get();
    let public = addition.from.join("public");
    let path = public.join("genesis.cose");
    let bytes = read(&path)?;
    genesis(&path, &bytes)?;
    let cluster = ClusterTag::of(EntryId::of(&bytes).as_bytes());
    let authorities = authorities(&addition.from.join("authority"), clock.unix_seconds())?;
    let copied = PUBLIC.map(|name| read(&public.join(name)).map(|bytes| (name, bytes)));
    let copied = copied.into_iter().collect::<Result<Vec<_>, _>>()?;
    let issued = authorities.admin.operator(cluster, number);
    let issued = issued.map_err(InitError::from)?;
    let default = || addition.from.join(format!("operator-{number}"));
    let out = addition.out.clone().unwrap_or_else(default);
    let write = || -> Result<(), InitError> {
        let folder = Folder::empty(&out)?;
        folder.public("admin.pem", &issued.cert)?;
        folder.secret("admin.key", issued.key.as_bytes())?;
        if addition.certificate_only {
            return Ok(());
        }
        folder.seed("operator.seed", &random_key())?;
        for (name, bytes) in &copied {
            folder.public(name, bytes)?;
        }
        Ok(())
    };
    write()?;
    Ok(if addition.certificate_only {
        renewed(number, &out)
    } else {
        added(number, &out)
    })
}

fn renewed(number: usize, out: &Path) -> String {
    format!(
        "\
a new certificate of operator {number} for the admin listeners is in {out}

1. Copy admin.pem and admin.key into the operator's folder, in place of the old ones, by hand, and
   destroy them here.
2. Take authority/ offline again.
",
        out = out.display()
    )
}

fn added(number: usize, out: &Path) -> String {
    format!(
        "\
the folder of operator {number} is {out}

1. Admit its key, with as many operators as genesis asks for:
   aimslog operator add operator-{number} --new-key {out}/operator.seed \\
     --operator-key FILE --operator-key FILE
2. Give the folder to the operator by hand, and destroy it here. policy.txt is the newest that
   public/ has: where the policy was changed since, give the newest one (aimslog policy show -o FILE).
3. The certificate opens the admin listeners already. Take authority/ offline again.
",
        out = out.display()
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use aimslog_proto::tlog::Origin;

    use super::*;
    use crate::clock::FixedClock;
    use crate::init::{Plan, init};

    fn founded(folder: &Path) -> PathBuf {
        let top = folder.join("cluster");
        let plan = Plan {
            origin: Origin::new("ledger.example.com/test").unwrap(),
            nodes: vec!["n1=127.0.0.1:7001".parse().unwrap()],
            operators: 2,
            folder: top.clone(),
            bind: None,
        };
        init(&plan, &FixedClock::at_millis(1_800_000_000_000), [7; 32]).unwrap();
        top
    }

    fn addition(from: &Path, number: usize, certificate_only: bool) -> Addition {
        Addition {
            from: from.to_owned(),
            number: NonZeroUsize::new(number).unwrap(),
            out: None,
            certificate_only,
        }
    }

    #[test]
    fn a_later_operator_gets_what_the_first_ones_got() {
        let folder = tempfile::tempdir().unwrap();
        let top = founded(folder.path());
        let words = add_operator(
            &addition(&top, 3, false),
            &FixedClock::at_millis(1_800_000_000_000),
        )
        .unwrap();
        assert!(words.contains("operator add operator-3"), "{words}");
        let list = |name: &str| {
            let files = fs::read_dir(top.join(name)).unwrap();
            let mut names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
            names.retain(|name| name != "README.txt");
            names.sort();
            names
        };
        assert_eq!(list("operator-3"), list("operator-1"));
        for secret in ["operator.seed", "admin.key"] {
            let path = top.join("operator-3").join(secret);
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{secret}");
            let first = fs::read(top.join("operator-1").join(secret)).unwrap();
            assert_ne!(fs::read(&path).unwrap(), first, "{secret}");
        }
        // Nothing is overwritten, neither that nor an operator's of the founding.
        for number in [3, 1] {
            let again = add_operator(
                &addition(&top, number, false),
                &FixedClock::at_millis(1_800_000_000_000),
            );
            assert!(matches!(again, Err(AddError::Write(_))), "{again:?}");
        }
    }

    #[test]
    fn a_certificate_alone_is_no_new_key() {
        let folder = tempfile::tempdir().unwrap();
        let top = founded(folder.path());
        let mut renewal = addition(&top, 1, true);
        renewal.out = Some(top.join("renewed"));
        add_operator(&renewal, &FixedClock::at_millis(1_800_000_000_000)).unwrap();
        let files = fs::read_dir(top.join("renewed")).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["admin.key", "admin.pem"]);
    }

    #[test]
    fn without_the_authority_nothing_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let top = founded(folder.path());
        fs::remove_dir_all(top.join("authority")).unwrap();
        let refused = add_operator(
            &addition(&top, 3, false),
            &FixedClock::at_millis(1_800_000_000_000),
        );
        assert!(matches!(refused, Err(AddError::Read { .. })), "{refused:?}");
        assert!(!top.join("operator-3").exists());
    }
}
