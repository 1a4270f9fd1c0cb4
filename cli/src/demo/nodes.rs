//! The three nodes of a demo: processes on loopback, which end with it.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use aimslog_client::Endpoints;
use aimslog_client::admin::Cluster;
use anyhow::{Context as _, Result, bail};
use tokio::time::{Instant, sleep};

use crate::context::read;
use crate::demo::folder::DemoFolder;
use crate::exit::UserError;

/// Name of the demo's log.
pub(super) const ORIGIN: &str = "demo.example.com/st-fictitia";
/// How long the cluster may take for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// Finds the node's program.
pub(super) fn find_program(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    let beside = std::env::current_exe()?.with_file_name("aimslogd");
    if beside.is_file() {
        return Ok(beside);
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths)
        .map(|folder| folder.join("aimslogd"))
        .find(|path| path.is_file())
        .ok_or_else(|| UserError::usage("aimslogd is not there: name it with --aimslogd"))
}

#[derive(Debug)]
struct Node {
    folder: PathBuf,
    client: u16,
    admin: u16,
    process: Option<Child>,
}

/// The nodes, running or not.
#[derive(Debug)]
pub(super) struct Nodes {
    program: PathBuf,
    operator: PathBuf,
    members: Vec<Node>,
}

impl Nodes {
    /// Makes the cluster's folders, starts the nodes and founds the cluster.
    pub(super) async fn start(folder: &DemoFolder, program: &Path) -> Result<Self> {
        let cluster = folder.join("cluster");
        let ports = free_ports(9)?;
        let mut init = Command::new(program);
        init.args(["init", "--origin", ORIGIN, "--operators", "2", "--dir"])
            .arg(&cluster);
        let mut members = Vec::new();
        for (position, ports) in ports.chunks_exact(3).enumerate() {
            let [peer, client, admin] = *ports else {
                bail!("three ports a node")
            };
            let label = format!("n{}", position + 1);
            init.arg("--node")
                .arg(format!("{label}=127.0.0.1:{peer}:{client}:{admin}"));
            members.push(Node {
                folder: cluster.join(label),
                client,
                admin,
                process: None,
            });
        }
        let made = init.stdout(Stdio::null()).status();
        let made = made.with_context(|| format!("cannot run {}", program.display()))?;
        if !made.success() {
            bail!("aimslogd init failed");
        }
        let operator = cluster.join("operator-1");
        let mut nodes = Self {
            program: program.to_owned(),
            operator,
            members,
        };
        for position in 0..nodes.members.len() {
            nodes.start_node(position)?;
        }
        nodes.found().await?;
        Ok(nodes)
    }

    /// Starts a node; its log goes to `log.txt` in its folder.
    pub(super) fn start_node(&mut self, position: usize) -> Result<()> {
        let node = self.members.get_mut(position).context("no such node")?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(node.folder.join("log.txt"))?;
        let child = Command::new(&self.program)
            .args(["run", "--config"])
            .arg(node.folder.join("aimslogd.toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        node.process = Some(child);
        Ok(())
    }

    /// Kills a node (SIGKILL): nothing is flushed, nobody is told.
    pub(super) fn kill(&mut self, position: usize) -> Result<()> {
        let node = self.members.get_mut(position).context("no such node")?;
        let mut child = node.process.take().context("the node does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    async fn found(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.admin(0)?.init().await {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(error).context("the cluster cannot be founded; see log.txt of n1");
                }
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// The admin service of one node.
    pub(super) fn admin(&self, position: usize) -> Result<Cluster> {
        let node = self.members.get(position).context("no such node")?;
        let operator = |file: &str| read(&self.operator.join(file));
        Ok(Cluster::new(&Endpoints {
            addresses: vec![format!("127.0.0.1:{}", node.admin)],
            ca_pem: operator("client-ca.pem")?,
            identity_pem: Some((operator("admin.pem")?, operator("admin.key")?)),
            deadline: Duration::from_secs(5),
        })?)
    }

    /// How to reach the client listeners of all nodes.
    pub(super) fn endpoints(&self) -> Result<Endpoints> {
        Ok(Endpoints {
            addresses: self.addresses(),
            ca_pem: read(&self.operator.join("client-ca.pem"))?,
            identity_pem: None,
            deadline: PATIENCE,
        })
    }

    /// Client addresses of all nodes.
    pub(super) fn addresses(&self) -> Vec<String> {
        self.members
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.client))
            .collect()
    }

    /// Admin addresses of all nodes.
    pub(super) fn admin_addresses(&self) -> Vec<String> {
        self.members
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.admin))
            .collect()
    }

    /// The position of the node that leads; waits for one.
    pub(super) async fn leader(&self) -> Result<usize> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            for (position, node) in self.members.iter().enumerate() {
                if node.process.is_some()
                    && let Ok(status) = self.admin(position)?.status().await
                    && status.role == "leader"
                {
                    return Ok(position);
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
        bail!("no node leads; see log.txt in the nodes' folders")
    }

    /// Waits until a node has applied and serves this many entries.
    pub(super) async fn wait_for_size(&self, position: usize, size: u64) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Ok(status) = self.admin(position)?.status().await
                && status.published_size >= size
            {
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
        bail!("node {} has not caught up; see its log.txt", position + 1)
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for node in &mut self.members {
            if let Some(mut child) = node.process.take() {
                // One that has ended already is as good.
                drop(child.kill());
                drop(child.wait());
            }
        }
    }
}

fn free_ports(count: usize) -> Result<Vec<u16>> {
    let held = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<Result<Vec<_>, _>>()?;
    held.iter()
        .map(|socket| Ok(socket.local_addr()?.port()))
        .collect()
}
