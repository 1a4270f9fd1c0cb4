//! The words that `init` leaves behind: what is what, what goes where, what is destroyed.

use super::plan::{NodeSpec, Plan};
use std::fmt::Write as _;

/// The README of the whole folder, also printed.
pub(super) fn cluster(plan: &Plan, cluster_id: &str) -> String {
    let mut text = format!(
        "\
Aimslog cluster {origin}
cluster id (entry id of genesis): {cluster_id}
operators: {required} of {operators} must agree{trial}
heads need the cosignatures of {quorum} of {nodes} nodes{frail}

1. Copy each node's folder to its machine, and to no other place:
",
        origin = plan.origin,
        required = plan.operators_required(),
        operators = plan.operators,
        trial = if plan.operators == 1 {
            " (a trial: one person decides alone)"
        } else {
            ""
        },
        quorum = plan.quorum(),
        nodes = plan.nodes.len(),
        frail = frail(plan),
    );
    for (id, node) in plan.numbered() {
        // Writing to a String cannot fail.
        let _infallible = writeln!(
            text,
            "     {label}/  node {id} at {host}: peers {peer}, clients {client}, operators {admin}",
            label = node.label,
            host = node.peer.host(),
            peer = node.peer.port(),
            client = node.client.port(),
            admin = node.admin.port(),
        );
    }
    text.push_str(
        "\
   Put guard/ on another volume than data/ (guard_dir in aimslogd.toml) and into no backup,
   snapshot or image: it is what keeps a rolled-back node from signing against itself.
   Check and start: aimslogd check --config aimslogd.toml; aimslogd run --config aimslogd.toml

2. Give each operator one folder, by hand, to a different person each:
",
    );
    for number in 1..=plan.operators {
        let _infallible = writeln!(text, "     operator-{number}/");
    }
    text.push_str(
        "\
   operator.seed signs what operators decide; admin.pem and admin.key open the admin listeners.

3. Give public/ to everybody who uses or checks the ledger: policy.txt is what verifiers trust,
   client-ca.pem lets clients recognise the nodes. Compare the fingerprint of policy.txt by voice.

4. Move authority/ and a copy of public/ to a medium that is kept offline. The keys in authority/
   make new node and operator certificates: aimslogd add-node needs both folders, a running
   cluster neither. Who has the keys can pose as a node towards other nodes, though never cosign
   as one. Destroy them if no node will ever be replaced.

5. When all of that is done, destroy this folder. The log, receipt and service key lie in every
   node's folder, readable by its owner and not encrypted, and must exist nowhere else. A node
   that comes later gets them from a running one, over mutual TLS.

6. Form the cluster once, from any operator's machine: aimslog cluster init
",
    );
    text
}

/// What to say of a cluster that bears no failure.
fn frail(plan: &Plan) -> &'static str {
    match plan.nodes.len() {
        1 => {
            "
WARNING: with 1 node the ledger stands still when that one is down, and is lost with its disk.
This is for a trial; a ledger that others rely on has 3 nodes or more."
        }
        2 => {
            "
WARNING: with 2 nodes the ledger stands still when either is down: it bears no failure, and breaks
twice as often as with 1. A ledger that others rely on has 3 nodes or more."
        }
        _ => "",
    }
}

/// The README of an operator's folder.
pub(super) fn operator(plan: &Plan, number: usize) -> String {
    let mut text = format!(
        "\
Operator {number} of the Aimslog cluster {origin}

operator.seed  signs decisions of operators ({required} of {operators} must agree). Secret.
admin.pem/key  opens the admin listeners (mutual TLS). The key is secret.
client-ca.pem  authority of the nodes' server certificates.
policy.txt     what verifiers trust.
genesis.cose   entry 0 of the log.
nodes.txt      addresses of the nodes: id, label, clients, operators.
",
        origin = plan.origin,
        required = plan.operators_required(),
        operators = plan.operators,
    );
    if plan.operators == 1 {
        text.push_str("\nThis is a trial: one operator decides alone, and verify says so.\n");
    }
    text
}

/// Addresses of the nodes, one line each: id, label, client address, admin address.
pub(super) fn nodes(plan: &Plan) -> String {
    let mut text = String::from(
        "\
# id, label, address for clients, address for operators. When a node is replaced, its line goes and
# the one that `aimslogd add-node` prints comes; everybody changes the endpoints of their contexts.
",
    );
    for (id, node) in plan.numbered() {
        text.push_str(&node_line(id, node));
        text.push('\n');
    }
    text
}

/// A node's line in `nodes.txt`.
pub(super) fn node_line(id: u64, node: &NodeSpec) -> String {
    format!("{id} {} {} {}", node.label, node.client, node.admin)
}
