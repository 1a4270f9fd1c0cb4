//! Somebody who works with the built program from an empty folder, against a cluster of real processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::cluster::{Cluster, program};
use crate::people::{Hospital, decision_json};

/// How long a node gets to hear of what was logged.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// A submitter: a cluster, a registered key, and a folder to work in.
#[derive(Debug)]
pub struct Desk {
    /// The cluster.
    pub cluster: Cluster,
    /// The organisation.
    pub hospital: Hospital,
    folder: TempDir,
}

impl Desk {
    /// A cluster of three with a registered hospital, whose office sits at the desk. The administrator's
    /// key lies beside the office's: `--key admin.seed`.
    pub async fn new() -> Self {
        let cluster = Cluster::start(3).await;
        let hospital = Hospital::register(&cluster, "hospital").await;
        let folder = tempfile::tempdir().unwrap();
        let desk = Self {
            cluster,
            hospital,
            folder,
        };
        for (file, key) in [
            ("submitter.seed", &desk.hospital.key),
            ("admin.seed", &desk.hospital.administrator),
        ] {
            desk.write(file, key.to_seed_file().as_bytes());
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            fs::set_permissions(desk.file(file), mode).unwrap();
        }
        desk
    }

    /// A file of the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, and the folders that it lies in.
    pub fn write(&self, file: &str, content: &[u8]) {
        let path = self.folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Writes the decision of this number.
    pub fn write_decision(&self, file: &str, number: u64) {
        self.write(file, decision_json(number).as_bytes());
    }

    /// The program with these arguments, at home at this desk.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.at_home(&program("aimslog"));
        command.args(arguments);
        command
    }

    /// A shell that is at home at this desk and finds the program.
    pub fn shell(&self) -> Command {
        let mut folders = vec![program("aimslog").parent().unwrap().to_owned()];
        let path = std::env::var_os("PATH").unwrap_or_default();
        folders.extend(std::env::split_paths(&path));
        let mut command = self.at_home(Path::new("bash"));
        command.env("PATH", std::env::join_paths(folders).unwrap());
        command
    }

    fn at_home(&self, program: &Path) -> Command {
        let nodes = self.cluster.nodes.iter();
        let endpoints: Vec<String> = nodes
            .map(|node| format!("127.0.0.1:{}", node.client))
            .collect();
        let public = self.cluster.folder().join("public");
        let mut command = Command::new(program);
        command
            .current_dir(self.folder.path())
            .env("AIMSLOG_HOME", self.folder.path().join("home"))
            .env("AIMSLOG_ENDPOINT", endpoints.join(","))
            .env("AIMSLOG_CA", public.join("client-ca.pem"))
            .env("AIMSLOG_POLICY", public.join("policy.txt"))
            .env("AIMSLOG_KEY", self.folder.path().join("submitter.seed"))
            .env("AIMSLOG_ORG", "hospital");
        command
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must end well and returns its data.
    pub fn data(&self, arguments: &[&str]) -> Value {
        let ran = self.run(&[arguments, &["--json"]].concat());
        assert!(
            ran.status.success(),
            "{arguments:?}: {}\n{}",
            String::from_utf8_lossy(&ran.stdout),
            String::from_utf8_lossy(&ran.stderr)
        );
        serde_json::from_slice(&ran.stdout).unwrap()
    }

    /// What `list` shows, once the node that answers has heard of this many records: one that forwards
    /// what is submitted hears of it a moment later.
    pub async fn list(&self, arguments: &[&str], count: usize) -> Value {
        let arguments = [&["list"][..], arguments].concat();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let listed = self.data(&arguments);
            if length(&listed, "/records") >= count {
                return listed;
            }
            assert!(
                Instant::now() < deadline,
                "{count} records were to come: {listed}"
            );
            sleep(PAUSE).await;
        }
    }

    /// Submits one record and returns what is told of it.
    pub fn submit(&self, arguments: &[&str]) -> Value {
        let told = self.data(arguments);
        let [one] = told.as_array().unwrap().as_slice() else {
            panic!("one record was submitted: {told}");
        };
        one.clone()
    }
}

/// The text there.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("no text at {pointer}: {value}"))
}

/// How long the list there is.
pub fn length(value: &Value, pointer: &str) -> usize {
    let found = value.pointer(pointer).and_then(Value::as_array);
    found
        .unwrap_or_else(|| panic!("no list at {pointer}: {value}"))
        .len()
}
