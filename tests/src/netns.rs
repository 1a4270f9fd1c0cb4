//! A network of namespaces, one for each node: cables that can be pulled without a word to either end,
//! as in a data centre, and directions that can be silenced alone.
//!
//! ```text
//!  node's namespace            the switch's namespace        root namespace
//!    peer   10.254.0.n  ──────  peer<n>   bridge peers
//!    client 10.x.y.n    ──────  client<n> bridge clients ── host ── ans<pid>x<n> 10.x.y.254
//! ```
//!
//! Nodes reach each other over `peer`, and the test reaches all of them over `client` whatever is cut.
//! The bridges have a namespace of their own, so that no firewall of the machine stands in between.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, id};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::cluster::Place;

/// Counts the networks of this process.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Candidates for the network between nodes and test, until one is free.
const SUBNETS: u32 = 64;

/// The namespaces; all of it goes when it is dropped.
#[derive(Debug)]
pub struct Namespaces {
    switch: String,
    nodes: Vec<String>,
    /// The one interface in the root namespace.
    host: String,
    /// First three bytes of the addresses at which the test reaches nodes.
    clients: String,
}

impl Namespaces {
    /// Makes a network for so many nodes. Where this is not possible, says why: it takes root, the
    /// programs `ip` and `tc`, and a kernel that lets them.
    pub fn make(nodes: usize) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("namespaces need root".to_owned());
        }
        sweep()?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("aimslog-{}-{number}", id());
        // Dropped on the way out where a later step fails.
        let network = Self {
            switch: format!("{name}-switch"),
            nodes: (1..=nodes).map(|node| format!("{name}-n{node}")).collect(),
            host: format!("ans{}x{number}", id()),
            clients: free_subnet(number)?,
        };
        network.build()?;
        Ok(network)
    }

    fn build(&self) -> Result<(), String> {
        let (switch, host) = (self.switch.as_str(), self.host.as_str());
        ip(&["netns", "add", switch])?;
        for bridge in ["peers", "clients"] {
            ip(&[
                "-n", switch, "link", "add", "name", bridge, "type", "bridge",
            ])?;
            ip(&["-n", switch, "link", "set", "dev", bridge, "up"])?;
        }
        cable(None, host, (switch, "host"))?;
        plug(switch, "host", "clients")?;
        ip(&[
            "addr",
            "add",
            &format!("{}.254/24", self.clients),
            "dev",
            host,
        ])?;
        ip(&["link", "set", "dev", host, "up"])?;
        for (position, node) in self.nodes.iter().enumerate() {
            ip(&["netns", "add", node])?;
            ip(&["-n", node, "link", "set", "dev", "lo", "up"])?;
            for (near, bridge, address) in [
                ("peer", "peers", peer_address(position)),
                ("client", "clients", self.client_address(position)),
            ] {
                let far = port(near, position);
                cable(Some(node), near, (switch, &far))?;
                plug(switch, &far, bridge)?;
                ip(&[
                    "-n",
                    node,
                    "addr",
                    "add",
                    &format!("{address}/24"),
                    "dev",
                    near,
                ])?;
                ip(&["-n", node, "link", "set", "dev", near, "up"])?;
            }
        }
        // Fails where the kernel lacks it, before anything relies on it.
        self.mute(0)?;
        self.speak(0)
    }

    /// Where the nodes live.
    pub fn places(&self) -> Vec<Place> {
        let nodes = self.nodes.iter().enumerate();
        let place = |(position, node): (usize, &String)| Place {
            host: self.client_address(position),
            enter: ["ip", "netns", "exec", node].map(str::to_owned).to_vec(),
        };
        nodes.map(place).collect()
    }

    fn client_address(&self, position: usize) -> String {
        format!("{}.{}", self.clients, position + 1)
    }

    /// Pulls the node's cable to the other nodes.
    pub fn cut(&self, position: usize) -> Result<(), String> {
        let far = port("peer", position);
        ip(&["-n", &self.switch, "link", "set", "dev", &far, "down"])
    }

    /// Puts the cable back.
    pub fn mend(&self, position: usize) -> Result<(), String> {
        let far = port("peer", position);
        ip(&["-n", &self.switch, "link", "set", "dev", &far, "up"])
    }

    /// Loses everything that the node sends to the others; what they send arrives.
    pub fn mute(&self, position: usize) -> Result<(), String> {
        let words = ["qdisc", "replace", "dev", "peer", "root", "blackhole"];
        self.tc(position, &words)
    }

    /// Ends that.
    pub fn speak(&self, position: usize) -> Result<(), String> {
        self.tc(position, &["qdisc", "del", "dev", "peer", "root"])
    }

    fn tc(&self, position: usize, words: &[&str]) -> Result<(), String> {
        let mut arguments = vec!["-n", self.nodes[position].as_str()];
        arguments.extend(words);
        run("tc", &arguments)
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        // The interfaces go with their namespaces. What was never made cannot be removed, and the
        // next run sweeps up what is left.
        for namespace in self.nodes.iter().chain([&self.switch]) {
            drop(ip(&["netns", "del", namespace]));
        }
        drop(ip(&["link", "del", "dev", &self.host]));
    }
}

/// The address at which the others reach a node.
pub fn peer_address(position: usize) -> String {
    format!("10.254.0.{}", position + 1)
}

/// The switch's end of a node's cable.
fn port(near: &str, position: usize) -> String {
    format!("{near}{}", position + 1)
}

/// A cable from an interface `near` of a namespace (or of the root namespace) to another one.
fn cable(namespace: Option<&str>, near: &str, far: (&str, &str)) -> Result<(), String> {
    let place = namespace.map(|namespace| ["-n", namespace]);
    let mut words: Vec<&str> = place.iter().flatten().copied().collect();
    words.extend(["link", "add", "name", near, "type", "veth"]);
    words.extend(["peer", "name", far.1, "netns", far.0]);
    ip(&words)
}

fn plug(switch: &str, port: &str, bridge: &str) -> Result<(), String> {
    ip(&["-n", switch, "link", "set", "dev", port, "master", bridge])?;
    ip(&["-n", switch, "link", "set", "dev", port, "up"])
}

/// A network that no route of this machine leads to.
fn free_subnet(number: u32) -> Result<String, String> {
    let routes = output("ip", &["-4", "route", "show", "table", "all"])?;
    (0..SUBNETS)
        .map(|attempt| id().wrapping_add(number * 31 + attempt * 97))
        .map(|seed| format!("10.{}.{}", 100 + seed / 256 % 100, seed % 256))
        .find(|subnet| !routes.contains(&format!("{subnet}.")))
        .ok_or_else(|| "no private network is free".to_owned())
}

/// Removes namespaces of tests that were killed before they could.
fn sweep() -> Result<(), String> {
    for line in output("ip", &["netns", "list"])?.lines() {
        let namespace = line.split(' ').next().unwrap_or_default();
        let owner = namespace
            .strip_prefix("aimslog-")
            .and_then(|rest| rest.split('-').next());
        let Some(owner) = owner.filter(|owner| owner.parse::<u32>().is_ok()) else {
            continue;
        };
        if !Path::new("/proc").join(owner).exists() {
            ip(&["netns", "del", namespace])?;
        }
    }
    Ok(())
}

fn ip(words: &[&str]) -> Result<(), String> {
    run("ip", words)
}

fn run(program: &str, words: &[&str]) -> Result<(), String> {
    output(program, words).map(drop)
}

fn output(program: &str, words: &[&str]) -> Result<String, String> {
    let line = || format!("{program} {}", words.join(" "));
    let output = Command::new(program)
        .args(words)
        .output()
        .map_err(|error| format!("{}: {error}", line()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{}: {}", line(), said.trim()))
}

/// Says something that is seen also where the output of passing tests is not shown.
pub fn say(words: &str) {
    // A closed standard error is no reason to fail.
    drop(writeln!(std::io::stderr(), "{words}"));
}
