//! Whole nodes in one process, over real sockets, TLS and disks: what a caller sees from the first
//! call on. Waiting is done by the calls themselves; ports are chosen by the system.

use super::*;
use crate::clock::SystemClock;
use crate::init::{Plan, init};
use aimslog_proto::aims::convert::from_free_json;
use aimslog_proto::pb::admin::v1 as admin;
use aimslog_proto::pb::admin::v1::cluster_service_client::ClusterServiceClient;
use aimslog_proto::pb::v1 as pb;
use aimslog_proto::pb::v1::evidence_service_client::EvidenceServiceClient;
use aimslog_proto::pb::v1::log_service_client::LogServiceClient;
use aimslog_proto::statement::evidence::{Options, Verdict, verify};
use aimslog_proto::statement::header::{Algorithm, ContentType, Family, Header, Origin as Maker};
use aimslog_proto::statement::key::SigningKey;
use aimslog_proto::statement::statement::sign;
use aimslog_proto::statement::{Commitment, Disclosure, DisclosureSet, Json, Salt, StatementId};
use aimslog_proto::system::{
    Admission, FirstAdministrator, Holder, Making, Organization, OrganizationId, Principal,
    PrincipalChange, PrincipalId, Role, prove_principal_key, sign_record,
};
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::{Origin, Policy};
use std::path::{Path, PathBuf};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request};

const ORIGIN: &str = "ledger.example.com/aims1";
const RECORD: &[u8] = include_bytes!("../../../proto/tests/golden/ai_system.json");

/// Ports that were free a moment ago.
fn free_ports(count: usize) -> Vec<u16> {
    let sockets: Vec<_> = (0..count)
        .map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    sockets
        .iter()
        .map(|socket| socket.local_addr().unwrap().port())
        .collect()
}

/// A cluster of one operator in one process.
struct Cluster {
    _folder: tempfile::TempDir,
    top: PathBuf,
    labels: Vec<String>,
    nodes: Vec<Option<Node>>,
}

impl Cluster {
    async fn start(count: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("cluster");
        let ports = free_ports(3 * count);
        let labels: Vec<String> = (1..=count).map(|n| format!("n{n}")).collect();
        let nodes = labels
            .iter()
            .zip(ports.chunks(3))
            .map(|(label, p)| {
                let text = format!("{label}=127.0.0.1:{}:{}:{}", p[0], p[1], p[2]);
                text.parse().unwrap()
            })
            .collect();
        let origin = Origin::new(ORIGIN).unwrap();
        let plan = Plan {
            origin,
            nodes,
            operators: 1,
            folder: top.clone(),
            bind: None,
        };
        init(&plan, &SystemClock, rule_bundle_digest()).unwrap();
        let mut cluster = Self {
            _folder: folder,
            top,
            labels,
            nodes: Vec::new(),
        };
        for position in 0..count {
            let node = cluster.node(position).await.unwrap();
            cluster.nodes.push(Some(node));
        }
        cluster
    }

    async fn node(&self, position: usize) -> Result<Node, StartError> {
        let home = self.top.join(&self.labels[position]);
        let mut config = Config::load(&home.join("aimslogd.toml")).unwrap();
        config.checkpoint_interval = std::time::Duration::from_millis(100);
        config.disk_reserve_bytes = 16 << 20;
        Node::start(config, Arc::new(SystemClock), Handle::current()).await
    }

    /// Starts a stopped node again. Its databases are released when the last task of the old one
    /// has ended, which a process would wait for by ending.
    async fn restart(&mut self, position: usize) {
        let until = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
        let node = loop {
            match self.node(position).await {
                Ok(node) => break node,
                Err(error) => assert!(tokio::time::Instant::now() < until, "{error:?}"),
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        };
        self.nodes[position] = Some(node);
    }

    async fn stop(&mut self, position: usize) {
        self.nodes[position].take().unwrap().stop().await;
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.top.join(name)).unwrap()
    }

    async fn admin(&self, position: usize) -> ClusterServiceClient<Channel> {
        let identity = Identity::from_pem(
            self.read("operator-1/admin.pem"),
            self.read("operator-1/admin.key"),
        );
        let address = self.nodes[position].as_ref().unwrap().addresses().admin;
        ClusterServiceClient::new(self.channel(address, Some(identity)).await.unwrap())
    }

    async fn client(&self, position: usize) -> Channel {
        let address = self.nodes[position].as_ref().unwrap().addresses().client;
        self.channel(address, None).await.unwrap()
    }

    async fn channel(
        &self,
        address: SocketAddr,
        identity: Option<Identity>,
    ) -> Result<Channel, tonic::transport::Error> {
        let ca = Certificate::from_pem(self.read("public/client-ca.pem"));
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(ca)
            .domain_name("localhost");
        if let Some(identity) = identity {
            tls = tls.identity(identity);
        }
        Endpoint::from_shared(format!("https://{address}"))?
            .tls_config(tls)?
            .connect()
            .await
    }

    /// Founds the cluster and registers the organisation `acme`; returns its key.
    async fn found(&self) -> SigningKey {
        let mut admin = self.admin(0).await;
        retry(|| {
            let mut admin = admin.clone();
            async move { admin.init(admin::InitRequest {}).await }
        })
        .await;
        let operator = seed(&self.top.join("operator-1/operator.seed"));
        let key = SigningKey::from_seed(&[5; 32]);
        for (index, statement) in (2..).zip(registration(&operator, &key)) {
            let submitted = admin
                .submit_system(admin::SubmitSystemRequest { statement })
                .await;
            assert_eq!(submitted.unwrap().into_inner().index, index);
        }
        key
    }

    fn check(&self, evidence: &[u8]) {
        let policy = Policy::parse(&self.read("public/policy.txt")).unwrap();
        let options = Options {
            now: UnixSeconds(SystemClock.unix_seconds()),
            saved_heads: &[],
            field_lists: RuleBundle::v1(),
            statement: None,
            checkpoint: None,
            receipt_key: None,
        };
        let report = verify(evidence, &policy, &options);
        let good = matches!(
            report.verdict,
            Verdict::Verified | Verdict::VerifiedWithLimits
        );
        assert!(good, "{report:#?}");
        let mut forged = evidence.to_vec();
        let place = String::from_utf8_lossy(evidence)
            .find("disclosure\"")
            .unwrap()
            + 40;
        forged[place] ^= 1;
        let report = verify(&forged, &policy, &options);
        let good = matches!(
            report.verdict,
            Verdict::Verified | Verdict::VerifiedWithLimits
        );
        assert!(!good, "a flipped bit was accepted");
    }
}

/// Calls until it succeeds; a cluster that starts refuses for a moment.
async fn retry<T, F: Future<Output = Result<T, tonic::Status>>>(call: impl Fn() -> F) -> T {
    let until = tokio::time::Instant::now() + std::time::Duration::from_mins(1);
    loop {
        match call().await {
            Ok(answer) => return answer,
            Err(status) => {
                assert!(tokio::time::Instant::now() < until, "{status:?}");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

fn seed(path: &Path) -> SigningKey {
    SigningKey::parse_seed_file(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn header(key: &SigningKey, content_type: ContentType, issuer: String, subject: String) -> Header {
    Header {
        algorithm: Algorithm::EdDsa,
        content_type,
        key: key.public_key().thumbprint(),
        issuer,
        subject,
        audience: ORIGIN.to_owned(),
        expires: None,
        issued: UnixSeconds(SystemClock.unix_seconds()),
        id: StatementId::from_bytes(rand::random()),
        rules: None,
        catalogues: Vec::new(),
        revision: None,
        transition: None,
        links: Vec::new(),
        origin: None,
        on_behalf_of: None,
        controls: Vec::new(),
    }
}

/// The statements that register an organisation, and the holder of `key` as one of its submitters.
fn registration(operator: &SigningKey, key: &SigningKey) -> [Vec<u8>; 2] {
    let origin = Origin::new(ORIGIN).unwrap();
    let organization = OrganizationId::new("acme").unwrap();
    let id = |id| PrincipalId::new(id).unwrap();
    let possession = |id: &PrincipalId, key: &SigningKey| {
        prove_principal_key(&origin, &organization, id, key).unwrap()
    };
    let administrator = SigningKey::from_seed(&[6; 32]);
    let first = FirstAdministrator {
        administrator: id("p-1"),
        holder: Holder::new("h-1").unwrap(),
        key: administrator.public_key(),
        possession: possession(&id("p-1"), &administrator),
    };
    let founding = Organization::register(organization.clone(), first);
    let admission = Admission {
        holder: Holder::new("h-2").unwrap(),
        key: key.public_key(),
        possession: possession(&id("p-2"), key),
        roles: vec![Role::new("submitter").unwrap()],
        acts_for: None,
    };
    let admitting = Principal {
        organization: organization.clone(),
        principal: id("p-2"),
        change: PrincipalChange::Admit(Box::new(admission)),
    };
    let now = SystemClock.unix_seconds();
    let making = || Making {
        origin: &origin,
        issued: UnixSeconds(now),
        expires: Some(UnixSeconds(now + 3_600)),
        id: StatementId::from_bytes(rand::random()),
    };
    let founding = sign_record(&founding, &making(), operator).unwrap();
    let admitting = sign_record(&admitting, &making(), &administrator).unwrap();
    [founding, admitting].map(|statement| statement.bytes().to_vec())
}

fn submission(key: &SigningKey) -> pb::Submission {
    let bundle = RuleBundle::v1();
    let kind = bundle.kind("ai_system", 1).unwrap();
    let record = from_free_json(kind, RECORD).unwrap();
    let disclosures: Vec<Disclosure> = record
        .fields(kind)
        .map(|(name, value)| {
            let salt = Salt::new(&rand::random::<[u8; 16]>()).unwrap();
            Disclosure::new(&salt, name, value.unwrap_or(&Json::Null)).unwrap()
        })
        .collect();
    let names: Vec<&str> = kind.field_names().collect();
    let set = DisclosureSet::new(disclosures, &names).unwrap();
    let commitment = Commitment::build(&set.leaf_hashes()).unwrap();
    let text = |name: &str| match record.values()[kind.field_index(name).unwrap()].as_ref() {
        Some(Json::Text(text)) => text.clone(),
        other => panic!("{name}: {other:?}"),
    };
    let content_type = ContentType::new(Family::Evidence, "ai_system", 1).unwrap();
    let subject = format!("urn:aimslog:acme:system:{}", text("system"));
    let mut header = header(
        key,
        content_type,
        format!("https://{ORIGIN}/o/acme"),
        subject,
    );
    header.rules = Some(bundle.digest().0);
    header.transition = Some(text("lifecycle_stage").to_lowercase());
    header.origin = Some(Maker::Person);
    let statement = sign(&header, &commitment.encode(), key).unwrap();
    let digest_only = match &record.values()[kind.field_index("attachments").unwrap()] {
        None => Vec::new(),
        Some(_) => attachments(&set),
    };
    pb::Submission {
        statement: statement.bytes().to_vec(),
        disclosures: set.as_slice().iter().map(|d| d.bytes().to_vec()).collect(),
        digest_only,
    }
}

/// The 64-digit digests that the attachments field names.
fn attachments(set: &DisclosureSet) -> Vec<Vec<u8>> {
    let text = String::from_utf8(set.field("attachments").unwrap().bytes().to_vec()).unwrap();
    let is_digest = |part: &&str| part.len() == 64 && part.bytes().all(|b| b.is_ascii_hexdigit());
    let hex = |text: &str| {
        (0..32)
            .map(|i| u8::from_str_radix(text.get(2 * i..2 * i + 2).unwrap(), 16).unwrap())
            .collect()
    };
    text.split('"').filter(is_digest).map(hex).collect()
}

fn accepted(response: pb::SubmitResponse) -> pb::Accepted {
    let result = response.results.into_iter().next().unwrap();
    match result.outcome.unwrap() {
        pb::submit_result::Outcome::Accepted(accepted) => accepted,
        pb::submit_result::Outcome::Refused(refused) => panic!("{refused:#?}"),
    }
}

async fn submit(channel: Channel, submission: &pb::Submission) -> pb::Accepted {
    let request = pb::SubmitRequest {
        submissions: vec![submission.clone()],
        wait: pb::Wait::Receipt.into(),
    };
    let response = retry(|| {
        let (mut client, request) = (EvidenceServiceClient::new(channel.clone()), request.clone());
        async move { client.submit(request).await }
    })
    .await;
    accepted(response.into_inner())
}

fn with_token<T>(message: T, key: &SigningKey) -> Request<T> {
    let now = SystemClock.unix_seconds();
    let token = aimslog_proto::token::mint(key, ORIGIN, now, 300).unwrap();
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_takes_a_record_and_its_evidence_verifies_offline() {
    let mut cluster = Cluster::start(1).await;
    let key = cluster.found().await;
    let channel = cluster.client(0).await;
    let sent = submission(&key);
    let first = submit(channel.clone(), &sent).await;
    assert!(!first.already_logged);
    cluster.check(&first.evidence);
    let again = submit(channel.clone(), &sent).await;
    assert!(again.already_logged);
    assert_eq!(again.entry, first.entry);

    let entry = first.entry.unwrap();
    let mut evidence = EvidenceServiceClient::new(channel.clone());
    let by_id = pb::GetRecordRequest {
        key: Some(pb::get_record_request::Key::EntryId(entry.entry_id.clone())),
    };
    let record = retry(|| {
        let (mut evidence, call) = (evidence.clone(), with_token(by_id.clone(), &key));
        async move { evidence.get_record(call).await }
    })
    .await;
    assert_eq!(
        record.into_inner().record.unwrap().disclosures,
        sent.disclosures
    );
    let stranger = SigningKey::from_seed(&[7; 32]);
    let refused = evidence
        .get_record(with_token(by_id.clone(), &stranger))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(
        evidence.get_record(by_id).await.unwrap_err().code(),
        Code::Unauthenticated
    );

    let mut log = LogServiceClient::new(channel);
    let beyond = pb::GetInclusionProofRequest {
        key: Some(pb::get_inclusion_proof_request::Key::Index(1_000)),
        tree_size: 0,
    };
    assert_eq!(
        log.get_inclusion_proof(beyond).await.unwrap_err().code(),
        Code::OutOfRange
    );
    cluster.stop(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_node_has_everything_and_one_without_its_guard_takes_no_part() {
    let mut cluster = Cluster::start(1).await;
    let key = cluster.found().await;
    let sent = submission(&key);
    let first = submit(cluster.client(0).await, &sent).await;
    cluster.stop(0).await;
    cluster.restart(0).await;
    let again = submit(cluster.client(0).await, &sent).await;
    assert_eq!(again.entry, first.entry);
    cluster.stop(0).await;

    let guard = cluster.top.join("n1/guard");
    for file in std::fs::read_dir(&guard).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    cluster.restart(0).await;
    let status = cluster
        .admin(0)
        .await
        .status(admin::StatusRequest {})
        .await
        .unwrap();
    let alarms = status.into_inner().alarms;
    assert_eq!(alarms[0].name, "AMNESIA");
    assert!(
        alarms[0].detail.contains("guard file is missing"),
        "{}",
        alarms[0].detail
    );
    let mut client = EvidenceServiceClient::new(cluster.client(0).await);
    let request = pb::SubmitRequest {
        submissions: vec![sent],
        wait: 0,
    };
    assert!(client.submit(request).await.is_err());
    cluster.stop(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_take_records_at_any_of_them_and_go_on_without_one() {
    let mut cluster = Cluster::start(3).await;
    let key = cluster.found().await;
    for position in 0..3 {
        let taken = submit(cluster.client(position).await, &submission(&key)).await;
        cluster.check(&taken.evidence);
    }
    let leader = {
        let status = cluster
            .admin(0)
            .await
            .status(admin::StatusRequest {})
            .await
            .unwrap();
        usize::try_from(status.into_inner().leader_id).unwrap() - 1
    };
    cluster.stop(leader).await;
    let left = (leader + 1) % 3;
    let taken = submit(cluster.client(left).await, &submission(&key)).await;
    cluster.check(&taken.evidence);
    for position in (0..3).filter(|position| *position != leader) {
        cluster.stop(position).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_take_only_their_own_callers() {
    let mut cluster = Cluster::start(1).await;
    let addresses = cluster.nodes[0].as_ref().unwrap().addresses();
    // TLS 1.3 lets the caller believe for a moment, so a call is made.
    for (address, what) in [(addresses.admin, "admin"), (addresses.peer, "peer")] {
        let connected = cluster.channel(address, None).await;
        let refused = match connected {
            Err(_) => true,
            Ok(channel) => {
                let mut admin = ClusterServiceClient::new(channel);
                admin.status(admin::StatusRequest {}).await.is_err()
            }
        };
        assert!(refused, "{what} took a caller without a certificate");
    }
    let mut misled = ClusterServiceClient::new(cluster.client(0).await);
    let status = misled.status(admin::StatusRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    let taken = cluster.node(0).await.unwrap_err();
    assert!(matches!(taken, StartError::Bind(_)), "{taken:?}");
    cluster.stop(0).await;
}
