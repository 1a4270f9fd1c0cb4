//! An operator at the command line: runs `aimslog` with a context of their own, as a person would.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::cluster::{Cluster, program};

/// A home folder with the policy that was handed out when it was made.
#[derive(Debug)]
pub struct Operator {
    home: TempDir,
    cluster: PathBuf,
}

/// What became of a command that may have been cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Run {
    /// It was killed after it had said this.
    CutOff {
        /// The lines.
        said: Vec<String>,
    },
    /// It ended before it could be killed.
    Ended {
        /// Its exit code.
        code: Option<i32>,
        /// The lines that it said.
        said: Vec<String>,
    },
}

impl Operator {
    /// An operator who knows all nodes that the cluster has now.
    pub fn new(cluster: &Cluster) -> Self {
        let operator = Self {
            home: TempDir::with_prefix("aimslog-operator-").unwrap(),
            cluster: cluster.folder(),
        };
        let policy = operator.cluster.join("public/policy.txt");
        fs::copy(policy, operator.file("first-policy.txt")).unwrap();
        let ports = |port: fn(&crate::cluster::Node) -> u16| {
            let all = cluster.nodes.iter().map(port);
            let all: Vec<String> = all.map(|port| format!("127.0.0.1:{port}")).collect();
            all.join(",")
        };
        let folder = operator.cluster.join("operator-1");
        let mut init = operator.command();
        init.args(["init", "ops"])
            .args(["--endpoint", &ports(|node| node.client)])
            .args(["--admin-endpoint", &ports(|node| node.admin)])
            .arg("--ca")
            .arg(folder.join("client-ca.pem"))
            .arg("--policy")
            .arg(operator.file("first-policy.txt"))
            .arg("--admin-ca")
            .arg(folder.join("client-ca.pem"))
            .arg("--admin-cert")
            .arg(folder.join("admin.pem"))
            .arg("--admin-cert-key")
            .arg(folder.join("admin.key"));
        let made = init.output().unwrap();
        assert!(made.status.success(), "aimslog init failed: {made:?}");
        let said = String::from_utf8_lossy(&made.stdout).into_owned();
        assert!(said.contains("next: aimslog cluster init"), "{said}");
        operator
    }

    /// A file in the operator's folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    /// `aimslog cluster replace OLD NEW`, with the keys of the first so many operators.
    pub fn replace(&self, old: u64, new: u64, operators: u16) -> Output {
        self.replacing(old, new, operators).output().unwrap()
    }

    /// The same, killed with SIGKILL as soon as it has said so many lines.
    pub fn replace_cut_off(&self, old: u64, new: u64, lines: usize) -> Run {
        let mut child = self
            .replacing(old, new, 2)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut talk = BufReader::new(child.stderr.take().unwrap());
        let mut said = Vec::new();
        while said.len() < lines {
            let mut line = String::new();
            if talk.read_line(&mut line).unwrap() == 0 {
                let code = child.wait().unwrap().code();
                return Run::Ended { code, said };
            }
            said.push(line.trim_end().to_owned());
        }
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        let mut rest = String::new();
        talk.read_to_string(&mut rest).unwrap();
        said.extend(rest.lines().map(str::to_owned));
        match ended.code() {
            None => Run::CutOff { said },
            code => Run::Ended { code, said },
        }
    }

    /// Runs a command that operators sign, with the keys of the first so many.
    pub fn agree(&self, arguments: &[&str], operators: u16) -> Output {
        let mut command = self.command();
        command.args(arguments);
        self.sign(&mut command, operators);
        command.output().unwrap()
    }

    fn sign(&self, command: &mut Command, operators: u16) {
        for number in 1..=operators {
            let seed = self
                .cluster
                .join(format!("operator-{number}/operator.seed"));
            command.arg("--operator-key").arg(seed);
        }
    }

    fn replacing(&self, old: u64, new: u64, operators: u16) -> Command {
        let mut command = self.command();
        command
            .args(["cluster", "replace", &old.to_string()])
            .arg(self.cluster.join(format!("n{new}/node.toml")))
            .args(["--wait", "60"])
            .arg("--policy-out")
            .arg(self.file("policy-new.txt"));
        self.sign(&mut command, operators);
        command
    }

    fn command(&self) -> Command {
        let mut command = Command::new(program("aimslog"));
        command
            .current_dir(self.home.path())
            .env("AIMSLOG_HOME", self.home.path().join("home"))
            .env_remove("AIMSLOG_CONTEXT")
            .stdin(Stdio::null());
        command
    }
}

/// What a command said to the person at the terminal.
pub fn talk(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
