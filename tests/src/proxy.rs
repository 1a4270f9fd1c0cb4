//! TCP proxies between nodes, one for each direction of each pair: they cut links where there are no
//! network namespaces to cut.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::cluster::Cluster;

/// Writes into the configuration of one node that it reaches another one at this address.
pub fn reroute(cluster: &Cluster, [from, to]: [usize; 2], address: &str) {
    let config = cluster.nodes[from].folder.join("aimslogd.toml");
    let text = fs::read_to_string(&config).unwrap();
    let target = &cluster.nodes[to];
    let direct = format!("address = \"{}:{}\"", target.place.host, target.peer);
    assert!(text.contains(&direct), "{text}");
    let routed = text.replace(&direct, &format!("address = \"{address}\""));
    fs::write(&config, routed).unwrap();
}

/// One link: what arrives at `port` goes to the target while the link is up, and nowhere (without
/// any sign to the sender) while it is cut.
#[derive(Debug)]
pub struct Link {
    /// Where the proxy listens, on loopback.
    pub port: u16,
    cuts: Arc<Cuts>,
    task: JoinHandle<()>,
}

/// Which directions are cut.
#[derive(Debug, Default)]
struct Cuts {
    there: AtomicBool,
    back: AtomicBool,
}

impl Link {
    /// Opens a link to a port on loopback.
    pub async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let cuts = Arc::<Cuts>::default();
        let shared = Arc::clone(&cuts);
        let task = tokio::spawn(async move {
            while let Ok((incoming, _)) = listener.accept().await {
                tokio::spawn(carry(incoming, target, Arc::clone(&shared)));
            }
        });
        Self { port, cuts, task }
    }

    /// Cuts the link: bytes on the way are held back, new connections get no answer.
    pub fn cut(&self) {
        self.cut_there();
        self.cut_back();
    }

    /// Cuts the direction from whoever dials.
    pub fn cut_there(&self) {
        self.cuts.there.store(true, Ordering::SeqCst);
    }

    /// Cuts the direction to whoever dials.
    pub fn cut_back(&self) {
        self.cuts.back.store(true, Ordering::SeqCst);
    }

    /// Mends the link: what was held back goes on.
    pub fn mend(&self) {
        self.cuts.there.store(false, Ordering::SeqCst);
        self.cuts.back.store(false, Ordering::SeqCst);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(incoming: TcpStream, target: u16, cuts: Arc<Cuts>) {
    while_cut(&cuts.there).await;
    let Ok(outgoing) = TcpStream::connect(("127.0.0.1", target)).await else {
        return;
    };
    let (from_in, to_in) = incoming.into_split();
    let (from_out, to_out) = outgoing.into_split();
    tokio::select! {
        () = pump(from_in, to_out, &cuts.there) => {}
        () = pump(from_out, to_in, &cuts.back) => {}
    }
}

async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    cut: &AtomicBool,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        while_cut(cut).await;
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

async fn while_cut(cut: &AtomicBool) {
    while cut.load(Ordering::SeqCst) {
        sleep(Duration::from_millis(5)).await;
    }
}
