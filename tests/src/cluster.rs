//! A cluster of real processes in a folder of its own.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use aimslog_client::admin;
use aimslog_client::trust::HeadMemory;
use aimslog_client::{ClientError, Endpoints, Ledger, ReadKey};
use aimslog_proto::pb::admin::v1::StatusResponse;
use aimslog_proto::tlog::Policy;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// The name of the log in tests.
pub const ORIGIN: &str = "ledger.example.com/test";

/// The program under test, built beside the test itself.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test knows its own file");
    let folder = test
        .parent()
        .and_then(Path::parent)
        .expect("tests lie in deps/");
    let program = folder.join(name);
    assert!(
        program.exists(),
        "{} is not built: run `make test`, or build the workspace first",
        program.display()
    );
    program
}

/// Where a node lives: the name by which the test reaches it, and the command, if any, that starts a
/// program in its network.
#[derive(Debug, Clone)]
pub struct Place {
    /// A name or address of the node.
    pub host: String,
    /// A program and its first arguments; the rest is what to start.
    pub enter: Vec<String>,
}

impl Place {
    /// This machine's own loopback.
    pub fn loopback() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            enter: Vec::new(),
        }
    }

    fn command(&self, program: &Path) -> Command {
        let mut words = self.enter.iter();
        match words.next() {
            None => Command::new(program),
            Some(first) => {
                let mut command = Command::new(first);
                command.args(words).arg(program);
                command
            }
        }
    }
}

/// One node: its folder, its ports, its process while it runs.
#[derive(Debug)]
pub struct Node {
    /// The number in the cluster, from 1.
    pub id: u64,
    /// Where it lives.
    pub place: Place,
    /// `<cluster>/n<id>`.
    pub folder: PathBuf,
    /// Port of its peer listener.
    pub peer: u16,
    /// Port of its client listener.
    pub client: u16,
    /// Port of its admin listener.
    pub admin: u16,
    process: Option<Child>,
}

/// How a node ended that did not start.
#[derive(Debug)]
pub struct Refused {
    /// Exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to its log.
    pub said: String,
}

/// The cluster. Its processes end and its folder goes when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    /// The nodes, by position.
    pub nodes: Vec<Node>,
    folder: TempDir,
}

impl Cluster {
    /// Makes a cluster of this many nodes, starts and founds it, and waits for its first head.
    pub async fn start(count: u16) -> Self {
        let mut cluster = Self::prepare(count);
        cluster.start_all();
        cluster.found().await;
        cluster
    }

    /// Makes the folders of a cluster without starting anything. One operator, so that a test needs
    /// one key; the rule of two has its own test.
    pub fn prepare(count: u16) -> Self {
        Self::prepare_at(vec![Place::loopback(); usize::from(count)], 1)
    }

    /// The same with so many operators.
    pub fn prepare_with_operators(count: u16, operators: u16) -> Self {
        Self::prepare_at(vec![Place::loopback(); usize::from(count)], operators)
    }

    /// The same, with a node at each of these places.
    pub fn prepare_at(places: Vec<Place>, operators: u16) -> Self {
        let folder = TempDir::with_prefix("aimslog-test-").unwrap();
        let ports = free_ports(places.len() * 3);
        let nodes: Vec<Node> = ports
            .chunks_exact(3)
            .zip(1_u64..)
            .zip(places)
            .map(|((ports, id), place)| Node {
                id,
                place,
                folder: folder.path().join(format!("cluster/n{id}")),
                peer: ports[0],
                client: ports[1],
                admin: ports[2],
                process: None,
            })
            .collect();
        let mut init = Command::new(program("aimslogd"));
        init.args(["init", "--origin", ORIGIN, "--operators"]);
        init.arg(operators.to_string()).arg("--dir");
        init.arg(folder.path().join("cluster"));
        for node in &nodes {
            let (id, peer, client, admin) = (node.id, node.peer, node.client, node.admin);
            let host = &node.place.host;
            init.arg("--node")
                .arg(format!("n{id}={host}:{peer}:{client}:{admin}"));
        }
        let made = init.stdout(Stdio::null()).status().unwrap();
        assert!(made.success(), "aimslogd init failed");
        Self { nodes, folder }
    }

    /// The folder of the cluster, as `aimslogd init` wrote it.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().join("cluster")
    }

    /// Makes the folder of a node that is to come in the place of another one, as an operator does,
    /// and gives its position. Nothing is started.
    pub fn add_node(&mut self, replaces: u64) -> usize {
        let id = self.nodes.iter().map(|node| node.id).max().unwrap_or(0) + 1;
        let ports = free_ports(3);
        let (peer, client, admin) = (ports[0], ports[1], ports[2]);
        let made = Command::new(program("aimslogd"))
            .arg("add-node")
            .arg("--from")
            .arg(self.folder())
            .arg("--node")
            .arg(format!("n{id}=127.0.0.1:{peer}:{client}:{admin}"))
            .args(["--id", &id.to_string(), "--replaces", &replaces.to_string()])
            .output()
            .unwrap();
        assert!(made.status.success(), "aimslogd add-node failed: {made:?}");
        self.nodes.push(Node {
            id,
            place: Place::loopback(),
            folder: self.folder().join(format!("n{id}")),
            peer,
            client,
            admin,
            process: None,
        });
        self.nodes.len() - 1
    }

    /// Makes the folder of an operator who comes later, and gives it.
    pub fn add_operator(&self, number: u16) -> PathBuf {
        let made = Command::new(program("aimslogd"))
            .arg("add-operator")
            .arg("--from")
            .arg(self.folder())
            .args(["--number", &number.to_string()])
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "aimslogd add-operator failed: {made:?}"
        );
        self.folder().join(format!("operator-{number}"))
    }

    /// Makes the next cosigner or receipt key on the machine of a node, as its operator does, and gives
    /// the file with its proof.
    pub fn rotate(&self, position: usize, key: &str) -> PathBuf {
        let folder = &self.nodes[position].folder;
        let made = Command::new(program("aimslogd"))
            .args(["rotate", "--key", key, "--config"])
            .arg(folder.join("aimslogd.toml"))
            .output()
            .unwrap();
        assert!(made.status.success(), "aimslogd rotate failed: {made:?}");
        folder.join(format!("keys/{key}.next.toml"))
    }

    /// Takes a node away for good: its process ends, and no method speaks of it any more.
    pub fn forget(&mut self, position: usize) {
        let mut node = self.nodes.remove(position);
        if let Some(mut child) = node.process.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Gives everybody a newer policy, as an operator does after it was changed.
    pub fn hand_out_policy(&self, text: &str) {
        fs::write(self.folder().join("public/policy.txt"), text).unwrap();
    }

    /// Starts every node that does not run.
    pub fn start_all(&mut self) {
        for position in 0..self.nodes.len() {
            if self.nodes[position].process.is_none() {
                self.start_node(position);
            }
        }
    }

    /// Starts one node; its log goes to `<folder>/log.txt`, appended.
    pub fn start_node(&mut self, position: usize) {
        self.start_node_with(position, &[]);
    }

    /// Starts one node that is expected to end by itself, with further environment variables; gives
    /// its exit code and what it said. Panics as [`Cluster::wait_for_end`] does.
    pub async fn refused(&mut self, position: usize, environment: &[(&str, &str)]) -> Refused {
        let log = self.nodes[position].folder.join("log.txt");
        let before = fs::read(&log).map_or(0, |text| text.len());
        self.start_node_with(position, environment);
        let status = self.wait_for_end(position).await;
        let said = fs::read(&log).unwrap();
        Refused {
            code: status.code(),
            said: String::from_utf8_lossy(&said[before..]).into_owned(),
        }
    }

    /// Starts one node with further environment variables.
    pub fn start_node_with(&mut self, position: usize, environment: &[(&str, &str)]) {
        let node = &mut self.nodes[position];
        assert!(node.process.is_none(), "node {} runs already", node.id);
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(node.folder.join("log.txt"));
        let log = log.unwrap();
        let child = node
            .place
            .command(&program("aimslogd"))
            .args(["run", "--config"])
            .arg(node.folder.join("aimslogd.toml"))
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        node.process = Some(child);
    }

    /// Founds the cluster and waits for the first head.
    pub async fn found(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let admin = self.admin_of(0);
        loop {
            match admin.init().await {
                Ok(_) => break,
                Err(error) if Instant::now() > deadline => {
                    panic!("the cluster cannot be founded: {error}\n{}", self.logs());
                }
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
        let ledger = self.ledger();
        if let Err(error) = ledger
            .checkpoint_covering(aimslog_proto::tlog::TreeSize(2))
            .await
        {
            panic!("no first head: {error}\n{}", self.logs());
        }
    }

    /// Kills a node with SIGKILL: nothing is flushed, nobody is told.
    pub fn kill(&mut self, position: usize) {
        let mut child = self.nodes[position].process.take().expect("the node runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks a node to end (SIGTERM) and waits for it.
    pub fn stop(&mut self, position: usize) -> ExitStatus {
        let mut child = self.nodes[position].process.take().expect("the node runs");
        signal(&child, Signal::TERM);
        child.wait().unwrap()
    }

    /// Waits until a node ends by itself; panics after twenty seconds.
    pub async fn wait_for_end(&mut self, position: usize) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let process = self.nodes[position]
                .process
                .as_mut()
                .expect("the node was started");
            if let Some(status) = process.try_wait().unwrap() {
                self.nodes[position].process = None;
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "the node does not end\n{}",
                self.logs()
            );
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops the node's clock of life: it neither runs nor dies (SIGSTOP). Returns when all of its
    /// threads stand still, which they do not at once.
    pub fn freeze(&self, position: usize) {
        let process = self.nodes[position].process.as_ref();
        let process = process.expect("the node runs");
        signal(process, Signal::STOP);
        let deadline = Instant::now() + Duration::from_secs(5);
        while !stands_still(process.id()) {
            assert!(Instant::now() < deadline, "a node cannot be frozen");
            std::thread::yield_now();
        }
    }

    /// Bytes of memory that the node has in use.
    pub fn memory(&self, position: usize) -> u64 {
        let process = self.nodes[position].process.as_ref();
        let status = format!("/proc/{}/status", process.expect("the node runs").id());
        let status = fs::read_to_string(status).expect("the node runs");
        let mut lines = status.lines();
        let resident = lines.find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kib: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
        kib << 10
    }

    /// Lets a frozen node go on (SIGCONT).
    pub fn thaw(&self, position: usize) {
        signal(
            self.nodes[position]
                .process
                .as_ref()
                .expect("the node runs"),
            Signal::CONT,
        );
    }

    /// Whether a process of the node was started and not taken away.
    pub fn is_started(&self, position: usize) -> bool {
        self.nodes[position].process.is_some()
    }

    /// Changes the configuration of a node that does not run: one text for another.
    pub fn configure(&self, position: usize, (from, to): (&str, &str)) {
        let path = self.nodes[position].folder.join("aimslogd.toml");
        let before = fs::read_to_string(&path).unwrap();
        let after = before.replacen(from, to, 1);
        assert_ne!(before, after, "the configuration does not say {from}");
        fs::write(path, after).unwrap();
    }

    /// All that a node has written to its log.
    pub fn log_of(&self, position: usize) -> String {
        fs::read_to_string(self.nodes[position].folder.join("log.txt")).unwrap_or_default()
    }

    /// Memory that a running node holds now, in bytes.
    pub fn resident_bytes(&self, position: usize) -> u64 {
        let process = self.nodes[position].process.as_ref();
        let id = process.expect("the node runs").id();
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.expect("the kernel tells the memory of a process");
        let kib: u64 = kib.trim().trim_end_matches(" kB").parse().unwrap();
        kib << 10
    }

    /// The policy that verifiers get.
    pub fn policy(&self) -> Policy {
        Policy::parse(&fs::read(self.folder().join("public/policy.txt")).unwrap()).unwrap()
    }

    /// A ledger over all nodes, with a fresh memory of heads.
    pub fn ledger(&self) -> Ledger {
        self.ledger_over(&self.nodes.iter().collect::<Vec<_>>())
    }

    /// A ledger over some of the nodes.
    pub fn ledger_among(&self, among: impl Fn(usize) -> bool) -> Ledger {
        let nodes = self.nodes.iter().enumerate();
        let chosen = nodes
            .filter(|(position, _)| among(*position))
            .map(|(_, node)| node);
        self.ledger_over(&chosen.collect::<Vec<_>>())
    }

    /// A ledger that asks one node alone.
    pub fn ledger_of(&self, position: usize) -> Ledger {
        self.ledger_over(&[&self.nodes[position]])
    }

    /// A ledger over all nodes that reads as the holder of a key.
    pub fn ledger_as(&self, key: ReadKey) -> Ledger {
        self.ledger().reading_as(key, ORIGIN)
    }

    fn ledger_over(&self, nodes: &[&Node]) -> Ledger {
        self.ledger_at(&self.endpoints(nodes.iter().map(|node| node.client)))
    }

    /// A ledger at these endpoints.
    pub fn ledger_at(&self, endpoints: &Endpoints) -> Ledger {
        Ledger::new(endpoints, self.policy(), HeadMemory::in_memory()).unwrap()
    }

    /// The client endpoints at these ports.
    pub fn endpoints(&self, ports: impl Iterator<Item = u16>) -> Endpoints {
        Endpoints {
            addresses: ports.map(|port| self.address(port)).collect(),
            ca_pem: fs::read(self.folder().join("public/client-ca.pem")).unwrap(),
            identity_pem: None,
            deadline: Duration::from_secs(20),
        }
    }

    /// `host:port` of a listener; ports are different all over the cluster.
    fn address(&self, port: u16) -> String {
        let of_node = |node: &&Node| [node.client, node.admin].contains(&port);
        let node = self.nodes.iter().find(of_node);
        let host = node.map_or("127.0.0.1", |node| node.place.host.as_str());
        format!("{host}:{port}")
    }

    /// The admin service of one node.
    pub fn admin_of(&self, position: usize) -> admin::Cluster {
        let operator = self.folder().join("operator-1");
        let endpoints = Endpoints {
            addresses: vec![self.address(self.nodes[position].admin)],
            ca_pem: fs::read(operator.join("client-ca.pem")).unwrap(),
            identity_pem: Some((
                fs::read(operator.join("admin.pem")).unwrap(),
                fs::read(operator.join("admin.key")).unwrap(),
            )),
            deadline: Duration::from_secs(10),
        };
        admin::Cluster::new(&endpoints).unwrap()
    }

    /// How a node sees the cluster.
    pub async fn status(&self, position: usize) -> Result<StatusResponse, ClientError> {
        self.admin_of(position).status().await
    }

    /// Waits until a condition of a node's status holds; panics after `limit` and shows the logs.
    pub async fn wait_until(
        &self,
        position: usize,
        limit: Duration,
        condition: impl Fn(&StatusResponse) -> bool,
    ) -> StatusResponse {
        let deadline = Instant::now() + limit;
        let mut last = String::new();
        while Instant::now() < deadline {
            match self.status(position).await {
                Ok(status) if condition(&status) => return status,
                Ok(status) => last = format!("{status:?}"),
                Err(error) => last = error.to_string(),
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("node {position} did not get there: {last}\n{}", self.logs());
    }

    /// The position of the node that leads, as the nodes that run say; waits for one.
    pub async fn leader(&self) -> usize {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            for position in 0..self.nodes.len() {
                if !self.is_started(position) {
                    continue;
                }
                if let Ok(status) = self.status(position).await
                    && status.role == "leader"
                {
                    return position;
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("nobody leads\n{}", self.logs());
    }

    /// The last lines of every node's log.
    pub fn logs(&self) -> String {
        let tail = |node: &Node| {
            let log = fs::read_to_string(node.folder.join("log.txt")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(30)..].join("\n");
            format!("--- node {}\n{last}\n", node.id)
        };
        self.nodes.iter().map(tail).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Some(mut child) = node.process.take() {
                // Ended already is as good.
                drop(child.kill());
                drop(child.wait());
            }
        }
    }
}

/// Whether every thread of the process is stopped.
fn stands_still(process: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    threads.flatten().all(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The state stands behind the name, which is in parentheses.
        let state = stat.rsplit(") ").next().unwrap_or_default();
        state.starts_with('T')
    })
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id().cast_signed()).expect("a process id is positive");
    kill_process(pid, signal).unwrap();
}

/// Loopback ports that were free a moment ago, below those that outgoing connections get. None is given
/// out twice: a node that is started again later must find its own free.
pub fn free_ports(count: usize) -> Vec<u16> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap();
    let mut held = Vec::new();
    while held.len() < count {
        let port: u16 = rand::random_range(10_000..32_000);
        if given.insert(port) {
            held.extend(TcpListener::bind(("127.0.0.1", port)));
        }
    }
    held.iter()
        .map(|socket| socket.local_addr().unwrap().port())
        .collect()
}
