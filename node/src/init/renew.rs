//! `aimslogd renew`: new certificates, with new keys, for a node that runs.
//!
//! They come from the authorities that the node and its callers trust already, so nobody else has to
//! do anything. The node finds the files in their place within seconds and needs no restart.

use std::path::PathBuf;

use aimslog_proto::statement::id::EntryId;

use super::add::{AddError, authorities, genesis, read};
use super::layout::Folder;
use super::plan::NodeSpec;
use super::{InitError, write_certificates};
use crate::clock::Clock;
use crate::service::spiffe::ClusterTag;

/// A node whose certificates are to be renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// What is left of the folder that `init` wrote: `authority/` and `public/` are read.
    pub from: PathBuf,
    /// The node, with the hosts that its certificates are to name.
    pub node: NodeSpec,
    /// Its number.
    pub id: u64,
    /// The folder to write; must be empty or missing.
    pub out: PathBuf,
}

/// Makes certificates and keys and returns the words for the person who asked for them. Nothing is
/// overwritten.
///
/// # Errors
/// [`AddError`], as for a node that joins.
pub fn renew(renewal: &Renewal, clock: &dyn Clock) -> Result<String, AddError> {
    let path = renewal.from.join("public/genesis.cose");
    let bytes = read(&path)?;
    genesis(&path, &bytes)?;
    if renewal.id == 0 {
        return Err(AddError::Id { id: renewal.id });
    }
    let cluster = ClusterTag::of(EntryId::of(&bytes).as_bytes());
    let authorities = authorities(&renewal.from.join("authority"), clock.unix_seconds())?;
    let folder = Folder::empty(&renewal.out).map_err(InitError::from)?;
    write_certificates(&folder, &authorities, cluster, (renewal.id, &renewal.node))?;
    Ok(words(renewal))
}

fn words(renewal: &Renewal) -> String {
    let (id, host) = (renewal.id, renewal.node.peer.host());
    let out = renewal.out.display();
    format!(
        "\
new certificates of node {id} are in {out}

1. Copy the four files to {host}, into the folder tls/ of the node, in place of the old ones, and
   destroy them here. The keys are new as well: keep mode 0600 and the owner.
2. The node uses them for the next connections within ten seconds, without a restart; its log says
   so, or says why it cannot (until then it goes on with the old ones).
   aimslogd check --config aimslogd.toml says the same beforehand.
3. Connections that stand go on: those of clients and operators for an hour at most, those between
   nodes until they break. To end them at once, restart the node.
4. Take authority/ offline again.
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::FixedClock;
    use crate::config::Config;
    use crate::init::{Plan, init};
    use crate::service::live_tls::{Followed, LiveTls, follow};
    use crate::service::tls::{NodeTls, TlsIdentity};
    use aimslog_proto::tlog::Origin;
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::time::sleep;
    use tokio_util::sync::CancellationToken;

    const NOW: u64 = 1_800_000_000;
    /// After the certificates of the beginning have ended.
    const LATER: u64 = NOW + 1_096 * 86_400;

    fn renewal(cluster: &Path) -> Renewal {
        Renewal {
            from: cluster.to_owned(),
            node: "n1=127.0.0.1:7400".parse().unwrap(),
            id: 1,
            out: cluster.join("renewed"),
        }
    }

    fn cluster(folder: &Path) -> PathBuf {
        let plan = Plan {
            origin: Origin::new("ledger.example.com/aims1").unwrap(),
            nodes: vec!["n1=127.0.0.1:7400".parse().unwrap()],
            operators: 1,
            folder: folder.join("cluster"),
            bind: None,
        };
        init(&plan, &FixedClock::at_millis(NOW * 1_000), [7; 32]).unwrap();
        plan.folder
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_takes_new_certificates_over_while_it_runs_and_nothing_that_does_not_fit() {
        let folder = tempfile::tempdir().unwrap();
        let cluster = cluster(folder.path());
        let home = cluster.join("n1");
        let config = Config::load(&home.join("aimslogd.toml")).unwrap();
        let genesis = EntryId::of(&fs::read(&config.genesis).unwrap());
        let identity = TlsIdentity {
            cluster: ClusterTag::of(genesis.as_bytes()),
            node_id: 1,
            now: NOW,
        };
        let (sender, live) = LiveTls::new(NodeTls::load(&config.tls, identity).unwrap());
        let first = live.now().valid_until;
        let stop = CancellationToken::new();
        let followed = Followed {
            files: config.tls.clone(),
            cluster: identity.cluster,
            node_id: 1,
            clock: Arc::new(FixedClock::at_millis(LATER * 1_000)),
        };
        let following = tokio::spawn(follow(followed, sender, stop.clone()));
        // They have ended: nobody would take them, and what the node has is not better.
        sleep(Duration::from_secs(12)).await;
        assert_eq!(live.now().valid_until, first);

        let renewal = renewal(&cluster);
        let words = renew(&renewal, &FixedClock::at_millis(LATER * 1_000)).unwrap();
        assert!(words.contains("without a restart"), "{words}");
        let install = |name: &str| {
            fs::rename(renewal.out.join(name), home.join("tls").join(name)).unwrap();
        };
        install("peer.pem");
        install("peer.key");
        install("server.pem");
        // A new certificate beside the old key.
        sleep(Duration::from_secs(12)).await;
        assert_eq!(live.now().valid_until, first);
        install("server.key");
        sleep(Duration::from_secs(12)).await;
        assert!(live.now().valid_until > first + 1_000 * 86_400);
        stop.cancel();
        following.await.unwrap();
    }

    #[test]
    fn a_folder_without_authority_or_a_number_that_no_node_has_makes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let clock = FixedClock::at_millis(NOW * 1_000);
        let without = renewal(folder.path());
        let refused = renew(&without, &clock);
        assert!(matches!(refused, Err(AddError::Read { .. })), "{refused:?}");
        assert!(!without.out.exists());
        let nobody = Renewal {
            id: 0,
            ..renewal(&cluster(folder.path()))
        };
        let refused = renew(&nobody, &clock);
        assert!(
            matches!(refused, Err(AddError::Id { id: 0 })),
            "{refused:?}"
        );
        assert!(!nobody.out.exists());
    }
}
