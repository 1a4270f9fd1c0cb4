use super::*;

fn sample() -> Config {
    let files = |name: &str| PathBuf::from(name);
    Config {
        node_id: 1,
        name: "ledger.example.com/aims1/node/1".to_owned(),
        data_dir: files("/n1/data"),
        guard_dir: files("/n1/guard"),
        genesis: files("/n1/genesis.cose"),
        keys_statement: files("/n1/keys.cose"),
        listen: Listen {
            client: "127.0.0.1:7401".parse().unwrap(),
            peer: "127.0.0.1:7400".parse().unwrap(),
            admin: "127.0.0.1:7402".parse().unwrap(),
        },
        advertise: Advertise {
            client: "n1.example.com:7401".parse().unwrap(),
            peer: "[::1]:7400".parse().unwrap(),
        },
        peers: vec![Peer {
            id: 2,
            name: "ledger.example.com/aims1/node/2".to_owned(),
            address: "n2.example.com:7400".parse().unwrap(),
        }],
        tls: TlsFiles {
            peer_ca: files("/n1/tls/peer-ca.pem"),
            peer_cert: files("/n1/tls/peer.pem"),
            peer_key: files("/n1/tls/peer.key"),
            server_cert: files("/n1/tls/server.pem"),
            server_key: files("/n1/tls/server.key"),
            admin_ca: files("/n1/tls/admin-ca.pem"),
        },
        keys: KeyFiles {
            cosigner: files("/n1/keys/cosigner.seed"),
            log: files("/n1/keys/log.seed"),
            receipt: files("/n1/keys/receipt.seed"),
            service: files("/n1/keys/service.seed"),
            passphrase: None,
        },
        checkpoint_interval: Duration::from_secs(1),
        cosign_verify: CosignVerify::All,
        entries: EntryVisibility::Token,
        allowances: Allowances::default(),
        disk_reserve_bytes: 1 << 30,
        log_format: LogFormat::Text,
        log_filter: "info,openraft=warn".to_owned(),
    }
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/n1"))
}

#[test]
fn effective_configuration_reads_back_equal() {
    for (verify, entries, format) in [
        (CosignVerify::All, EntryVisibility::Token, LogFormat::Text),
        (
            CosignVerify::Leader,
            EntryVisibility::Public,
            LogFormat::Json,
        ),
    ] {
        let mut config = sample();
        config.cosign_verify = verify;
        config.entries = entries;
        config.log_format = format;
        config.allowances.principal_per_second = 7;
        config.keys.passphrase =
            (format == LogFormat::Json).then(|| PathBuf::from("/run/\"pass\""));
        config.name = "a \"quoted\" origin\\/node/1".to_owned();
        assert_eq!(parse(&config.effective()).unwrap(), config);
    }
}

#[test]
fn paths_are_relative_to_the_folder_of_the_file() {
    let text = sample().effective().replace("/n1/", "");
    assert_eq!(parse(&text).unwrap(), sample());
}

#[test]
fn optional_sections_have_defaults() {
    let text = sample().effective();
    let (required, _) = text.split_once("[checkpoint]").unwrap();
    assert_eq!(parse(required).unwrap(), sample());
}

/// (what is wrong, text to replace, replacement, key that the problem must name)
const BAD: &[(&str, &str, &str, &str)] = &[
    ("id 0", "\nid = 1\n", "\nid = 0\n", "node.id"),
    ("other name", "/node/1\"", "/node/3\"", "node.name"),
    (
        "guard in data",
        "\"/n1/guard\"",
        "\"/n1/data/guard\"",
        "node.guard_dir",
    ),
    (
        "data in guard",
        "\"/n1/data\"",
        "\"/n1/guard/data\"",
        "node.guard_dir",
    ),
    (
        "same folders",
        "\"/n1/guard\"",
        "\"/n1/data\"",
        "node.guard_dir",
    ),
    (
        "listen name",
        "\"127.0.0.1:7401\"",
        "\"localhost:7401\"",
        "listen.client",
    ),
    (
        "listen without port",
        "\"127.0.0.1:7400\"",
        "\"127.0.0.1\"",
        "listen.peer",
    ),
    (
        "port used twice",
        "\"127.0.0.1:7402\"",
        "\"127.0.0.1:7401\"",
        "listen.admin",
    ),
    (
        "advertise port 0",
        "n1.example.com:7401",
        "n1.example.com:0",
        "advertise.client",
    ),
    (
        "advertise host",
        "n1.example.com:7401",
        "n1 example:7401",
        "advertise.client",
    ),
    ("bare IPv6", "[::1]:7400", "::1:7400", "advertise.peer"),
    ("peer is self", "id = 2", "id = 1", "peers[0].id"),
    ("peer id 0", "id = 2", "id = 0", "peers[0].id"),
    ("peer name", "/node/2\"", "/node/4\"", "peers[0].name"),
    (
        "peer address",
        "n2.example.com:7400",
        "n2.example.com",
        "peers[0].address",
    ),
    (
        "peer at own address",
        "n2.example.com:7400",
        "[::1]:7400",
        "advertise.peer",
    ),
    (
        "key file used twice",
        "/n1/keys/log.seed",
        "/n1/keys/cosigner.seed",
        "keys.log",
    ),
    (
        "key file is TLS key",
        "/n1/tls/peer.key",
        "/n1/keys/log.seed",
        "tls.peer_key",
    ),
    (
        "interval too short",
        "interval_ms = 1000",
        "interval_ms = 19",
        "checkpoint.interval_ms",
    ),
    (
        "interval too long",
        "interval_ms = 1000",
        "interval_ms = 60001",
        "checkpoint.interval_ms",
    ),
    (
        "reserve",
        "reserve_mib = 1024",
        "reserve_mib = 0",
        "disk.reserve_mib",
    ),
    (
        "reserve overflows",
        "reserve_mib = 1024",
        "reserve_mib = 9000000000000",
        "disk.reserve_mib",
    ),
    (
        "principal",
        "principal_requests_per_second = 5000",
        "principal_requests_per_second = 0",
        "limits.principal_requests_per_second",
    ),
    (
        "organization",
        "organization_requests_per_second = 10000",
        "organization_requests_per_second = 2000000",
        "limits.organization_requests_per_second",
    ),
    (
        "mib",
        "organization_mib_per_day = 65536",
        "organization_mib_per_day = 10",
        "limits.organization_mib_per_day",
    ),
    (
        "verify",
        "verify = \"all\"",
        "verify = \"none\"",
        "cosign.verify",
    ),
    (
        "entries",
        "entries = \"token\"",
        "entries = \"all\"",
        "read.entries",
    ),
    (
        "format",
        "format = \"text\"",
        "format = \"xml\"",
        "log.format",
    ),
    (
        "filter",
        "filter = \"info,openraft=warn\"",
        "filter = \"info=no=such\"",
        "log.filter",
    ),
];

#[test]
fn each_bad_value_is_refused_by_its_key() {
    let text = sample().effective();
    for (what, from, to, key) in BAD {
        let bad = text.replacen(from, to, 1);
        assert_ne!(bad, text, "{what}: the sample does not contain {from}");
        match parse(&bad) {
            Err(ConfigError::Values(problems)) => {
                assert!(
                    problems.iter().any(|p| p.key == *key),
                    "{what}: {problems:?}"
                );
            }
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[test]
fn all_problems_come_at_once() {
    let text = sample()
        .effective()
        .replace("\nid = 1\n", "\nid = 0\n")
        .replace("verify = \"all\"", "verify = \"none\"");
    let Err(ConfigError::Values(problems)) = parse(&text) else {
        panic!("accepted")
    };
    let keys: Vec<&str> = problems.iter().map(|p| p.key.as_str()).collect();
    assert_eq!(keys, ["node.id", "node.name", "cosign.verify"]);
}

#[test]
fn unknown_missing_and_mistyped_keys_are_syntax_errors() {
    let text = sample().effective();
    let unknown = [
        format!("{text}\n[extra]\n"),
        text.replace("[disk]", "[disk]\nreserve = 1"),
        text.replace("[node]", "[node]\nlabel = \"n1\""),
        text.replace("[tls]", "[tls]\nclient_ca = \"x\""),
    ];
    let broken = [
        text.replace("genesis = ", "# genesis = "),
        text.replace("\nid = 1\n", "\nid = \"1\"\n"),
        text.replace("\nid = 1\n", "\nid = -1\n"),
        text.replace("[listen]", "[listen"),
    ];
    for bad in unknown.iter().chain(&broken) {
        assert!(matches!(parse(bad), Err(ConfigError::Syntax(_))), "{bad}");
    }
}

#[test]
fn host_port_keeps_brackets_of_ipv6_only() {
    for text in ["a:1", "a.b-c_d:65535", "[::1]:7", "10.0.0.1:80"] {
        assert_eq!(text.parse::<HostPort>().unwrap().to_string(), text);
    }
    for text in [
        "", ":1", "a:", "a:65536", "a b:1", "::1:7", "[]:7", "a:1:2", "a/b:1",
    ] {
        assert_eq!(text.parse::<HostPort>(), Err(HostPortError), "{text}");
    }
}
