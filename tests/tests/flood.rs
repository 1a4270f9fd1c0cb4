//! A flood of bad tokens takes no more from a good reader than the processor time that it needs.
//!
//! Method: one reader with a fixed number of calls under way, first alone and then beside callers with
//! one core who show every kind of bad token as fast as they get their answers. Both figures come from
//! one run.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use aimslog_client::clock;
use aimslog_proto::pb::v1;
use aimslog_proto::statement::key::SigningKey;
use aimslog_proto::token::mint;
use aimslog_tests::cluster::{Cluster, ORIGIN};
use aimslog_tests::people::Hospital;
use aimslog_tests::wire::{self, showing};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tonic::Code;

/// How long each of the two measurements takes.
const STRETCH: Duration = Duration::from_secs(6);
/// Calls that the good reader has under way.
const READERS: usize = 8;
/// Connections of the flood, and callers with bad tokens over each: as many as it takes.
const FLOOD_CONNECTIONS: usize = 4;
const FLOODERS: usize = 250;
/// What no number of bad tokens may make a node keep.
const MEMORY_MORE_AT_MOST: u64 = 64 << 20;

/// How a stretch went for the good reader.
#[derive(Debug)]
struct Went {
    per_second: f64,
    p99: Duration,
}

fn list(organization: &str) -> v1::ListRecordsRequest {
    v1::ListRecordsRequest {
        organization: organization.to_owned(),
        page_size: 1,
        ..v1::ListRecordsRequest::default()
    }
}

/// Every way in which a token can be bad, in turn.
fn bad_token(hospital: &Hospital, number: u64) -> String {
    let now = clock::unix_seconds();
    let good = mint(&*hospital.key, ORIGIN, now, 300).unwrap();
    let (input, signature) = good.rsplit_once('.').unwrap();
    let (_, claims) = input.split_once('.').unwrap();
    let kid = hospital.key.public_key().thumbprint();
    let header = |alg: &str, typ: &str| {
        let json = format!(r#"{{"alg":"{alg}","kid":"{kid}","typ":"{typ}"}}"#);
        format!("{}.{claims}.{signature}", URL_SAFE_NO_PAD.encode(json))
    };
    let stranger = SigningKey::from_seed(&rand::random());
    let token = match number % 8 {
        // The dearest: all is well but the signature, and no two are alike.
        0..3 => {
            let signature: [[u8; 32]; 2] = rand::random();
            format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.concat()))
        }
        3 => mint(&stranger, ORIGIN, now, 300).unwrap(),
        4 => mint(&*hospital.key, ORIGIN, now - 1_000, 300).unwrap(),
        5 => mint(&*hospital.key, "ledger.example.com/other", now, 300).unwrap(),
        6 => header("none", "aimslog-read+jwt"),
        _ => header("EdDSA", "JWT"),
    };
    format!("Bearer {token}")
}

/// Callers with bad tokens, on one thread of their own.
struct Flood {
    stop: Arc<AtomicBool>,
    refused: Arc<AtomicU64>,
    thread: thread::JoinHandle<()>,
}

impl Flood {
    fn start(cluster: &Cluster, hospital: &Hospital) -> Self {
        let stop: Arc<AtomicBool> = Arc::default();
        let refused: Arc<AtomicU64> = Arc::default();
        // Made beforehand: the flood is to spend its time on calls.
        let tokens: Vec<String> = (0..4_096).map(|n| bad_token(hospital, n)).collect();
        let (tokens, organization) = (Arc::new(tokens), hospital.id.clone());
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let services: Vec<_> = {
            let _entered = runtime.enter();
            let services = (0..FLOOD_CONNECTIONS).map(|_| wire::evidence(cluster, 0));
            services.collect()
        };
        let (stopping, counting) = (Arc::clone(&stop), Arc::clone(&refused));
        let thread = thread::spawn(move || {
            runtime.block_on(async move {
                let mut callers = JoinSet::new();
                for caller in 0..FLOOD_CONNECTIONS * FLOODERS {
                    let (stop, refused) = (Arc::clone(&stopping), Arc::clone(&counting));
                    let (tokens, organization) = (Arc::clone(&tokens), organization.clone());
                    let mut service = services[caller % FLOOD_CONNECTIONS].clone();
                    callers.spawn(async move {
                        let mut at = caller % tokens.len();
                        while !stop.load(Ordering::Relaxed) {
                            at = (at + 61) % tokens.len();
                            let request = showing(list(&organization), &tokens[at]);
                            let status = service.list_records(request).await.unwrap_err();
                            assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
                callers.join_all().await;
            });
        });
        Self {
            stop,
            refused,
            thread,
        }
    }

    /// How many calls were refused.
    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.refused.load(Ordering::Relaxed)
    }
}

/// Waits until the node knows that its registry is fresh.
async fn readable(cluster: &Cluster, hospital: &Hospital) {
    let deadline = Instant::now() + STRETCH;
    let mut service = wire::evidence(cluster, 0);
    let request = || wire::reading(list(&hospital.id), &hospital.key);
    while let Err(status) = service.list_records(request()).await {
        assert!(Instant::now() < deadline, "{status:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

async fn measure(cluster: &Cluster, hospital: &Hospital) -> Went {
    let end = Instant::now() + STRETCH;
    let token = mint(&*hospital.key, ORIGIN, clock::unix_seconds(), 300).unwrap();
    let authorization = format!("Bearer {token}");
    let service = wire::evidence(cluster, 0);
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        let (mut service, authorization) = (service.clone(), authorization.clone());
        let organization = hospital.id.clone();
        readers.spawn(async move {
            let mut took = Vec::new();
            while Instant::now() < end {
                let request = showing(list(&organization), &authorization);
                let began = Instant::now();
                service.list_records(request).await.unwrap();
                took.push(began.elapsed());
            }
            took
        });
    }
    let mut took = readers.join_all().await.concat();
    took.sort_unstable();
    let Some(p99) = took.get(took.len() * 99 / 100) else {
        panic!("nothing was read");
    };
    let count = u32::try_from(took.len()).unwrap();
    Went {
        per_second: f64::from(count) / STRETCH.as_secs_f64(),
        p99: *p99,
    }
}

#[test]
fn a_flood_of_bad_tokens_leaves_a_good_reader_half_of_what_it_had() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let mut cluster = Cluster::prepare(1);
    let many =
        "principal_requests_per_second = 1000000\norganization_requests_per_second = 1000000\n";
    let few = "principal_requests_per_second = 5000\norganization_requests_per_second = 10000\n";
    cluster.configure(0, (few, many));
    cluster.start_all();
    let hospital = runtime.block_on(async {
        cluster.found().await;
        let hospital = Hospital::register(&cluster, "hospital").await;
        readable(&cluster, &hospital).await;
        hospital
    });
    runtime.block_on(measure(&cluster, &hospital));
    let quiet = runtime.block_on(measure(&cluster, &hospital));
    let memory_before = cluster.memory(0);
    let flood = Flood::start(&cluster, &hospital);
    let beside = runtime.block_on(measure(&cluster, &hospital));
    let more = cluster.memory(0).saturating_sub(memory_before);
    let refused = flood.end();
    println!(
        "alone {quiet:?}; beside {refused} bad tokens {beside:?}; {} KiB more memory",
        more >> 10
    );
    assert!(refused > 1_000, "{refused} bad tokens are no flood");
    assert!(beside.per_second * 2.0 >= quiet.per_second);
    assert!(beside.p99 <= quiet.p99 * 10);
    assert!(more < MEMORY_MORE_AT_MOST, "{} MiB more", more >> 20);
}
