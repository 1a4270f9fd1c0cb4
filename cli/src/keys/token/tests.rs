//! Goal: a key in a token signs what a key in memory signs, and whatever is wrong with the token is
//! said. Method: `SoftHSM` with a token of its own in an empty folder.
//!
//! `SoftHSM` finds its folder by an environment variable that is read once per process, so each test
//! runs itself again in a process in which that variable is set. `.ci/setup` installs `SoftHSM`; where
//! it is missing the tests fail.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use aimslog_proto::statement::id::StatementId;
use aimslog_proto::statement::key::{RecordIdentity, SigningKey};
use aimslog_proto::system::{
    FirstAdministrator, Holder, Making, Organization, OrganizationId, PrincipalId,
    prove_principal_key, sign_record,
};
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::Origin;

use super::*;

const PIN: &str = "4321";
const FOLDER: &str = "AIMSLOG_TEST_TOKEN_FOLDER";
const LIBRARIES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
];

fn library() -> &'static str {
    let mut there = LIBRARIES.iter().filter(|path| Path::new(path).exists());
    there
        .next()
        .expect("SoftHSM is not installed: run .ci/setup")
}

/// Runs the test named `test` in a process of its own, where a token `aims` is; there it is `body`.
fn with_token(test: &str, body: impl FnOnce(&Desk)) {
    if let Some(folder) = std::env::var_os(FOLDER) {
        body(&Desk(PathBuf::from(folder)));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::create_dir(path.join("tokens")).unwrap();
    let conf = path.join("softhsm2.conf");
    let tokens = path.join("tokens");
    fs::write(
        &conf,
        format!("directories.tokendir = {}\n", tokens.display()),
    )
    .unwrap();
    for (name, pin) in [("pin", PIN), ("wrong", "1234")] {
        fs::write(path.join(name), pin).unwrap();
        fs::set_permissions(path.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", "aims"])
        .args(["--so-pin", "87654321", "--pin", PIN])
        .env("SOFTHSM2_CONF", &conf)
        .output()
        .expect("SoftHSM is not installed: run .ci/setup");
    assert!(made.status.success(), "{made:?}");
    let ran = Command::new(std::env::current_exe().unwrap())
        .args([
            &format!("keys::token::tests::{test}"),
            "--exact",
            "--nocapture",
        ])
        .env("SOFTHSM2_CONF", &conf)
        .env(FOLDER, path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    let failed = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}\n{failed}");
    assert!(said.contains("1 passed"), "no such test: {said}");
}

/// The folder of a token.
struct Desk(PathBuf);

impl Desk {
    fn secrets(&self, file: &str) -> SecretFiles {
        SecretFiles {
            passphrase: None,
            pin: Some(self.0.join(file)),
        }
    }

    fn open(&self, uri: &str) -> Result<TokenKey> {
        TokenKey::open(&uri.parse().unwrap(), &self.secrets("pin"))
    }

    fn generate(&self, object: &str) -> TokenKey {
        let uri = named(object).parse().unwrap();
        TokenKey::generate(&uri, &self.secrets("pin")).unwrap()
    }

    /// A session in which the test can make what our code never makes.
    fn session(&self) -> Session {
        let uri = named("any").parse().unwrap();
        let token = Token::find(&uri).unwrap();
        let session = token.module.open_rw_session(token.slot);
        token.log_in(session, &uri, &self.secrets("pin")).unwrap()
    }
}

fn named(object: &str) -> String {
    format!(
        "pkcs11:token=aims;object={object}?module-path={}",
        library()
    )
}

fn refusal(result: Result<TokenKey>) -> String {
    let error = result.unwrap_err();
    assert_eq!(crate::exit::exit_of(&error), crate::exit::Exit::Usage);
    format!("{error:#}")
}

fn label(text: &str) -> Attribute {
    Attribute::Label(text.as_bytes().to_vec())
}

#[test]
fn a_statement_signed_in_a_token_verifies() {
    with_token("a_statement_signed_in_a_token_verifies", |desk| {
        let made = desk.generate("office");
        let key = desk.open(&named("office")).unwrap();
        assert_eq!(key.public_key(), made.public_key());
        let signer: &dyn Signer = &key;
        let origin = Origin::new("ledger.example.com/token").unwrap();
        let organization = OrganizationId::new("hospital").unwrap();
        let administrator = PrincipalId::new("admin-1").unwrap();
        let first = FirstAdministrator {
            possession: prove_principal_key(&origin, &organization, &administrator, signer)
                .unwrap(),
            administrator,
            holder: Holder::new("holder-1").unwrap(),
            key: signer.public_key(),
        };
        let record = Organization::register(organization, first);
        let making = Making {
            origin: &origin,
            issued: UnixSeconds(1_760_000_000),
            expires: None,
            id: StatementId::from_bytes([7; 16]),
        };
        let statement = sign_record(&record, &making, signer).unwrap();
        let unverified = statement.clone().into_unverified();
        unverified.verify(&made.public_key()).unwrap();
        let other = SigningKey::from_seed(&[1; 32]).public_key();
        assert!(statement.into_unverified().verify(&other).is_err());
        assert!(aimslog_proto::token::mint(signer, origin.as_str(), 0, 60).is_ok());
        let shown = format!("{key:?}");
        assert_eq!(
            shown,
            format!("TokenKey({})", key.public_key().thumbprint())
        );
    });
}

#[test]
fn the_same_record_gets_the_same_id_in_every_session() {
    with_token(
        "the_same_record_gets_the_same_id_in_every_session",
        |desk| {
            let record = RecordIdentity {
                kind: "finding.v1",
                subject: "urn:aimslog:o:system:s",
                record: b"{}",
                previous: None,
            };
            let one = desk.generate("one");
            let id = one.derive_statement_id(&record).unwrap();
            assert_eq!(one.derive_statement_id(&record).unwrap(), id);
            let again = desk.open(&named("one")).unwrap();
            assert_eq!(again.derive_statement_id(&record).unwrap(), id);
            let other = desk.generate("other");
            assert_ne!(other.derive_statement_id(&record).unwrap(), id);
        },
    );
}

#[test]
fn a_wrong_pin_opens_nothing() {
    with_token("a_wrong_pin_opens_nothing", |desk| {
        let uri: TokenUri = named("office").parse().unwrap();
        let said = refusal(TokenKey::open(&uri, &desk.secrets("wrong")));
        assert!(
            said.contains("the PIN of the token aims is wrong"),
            "{said}"
        );
        let said = refusal(TokenKey::generate(&uri, &desk.secrets("wrong")));
        assert!(
            said.contains("the PIN of the token aims is wrong"),
            "{said}"
        );
        desk.generate("office");
        // The file that the URI names counts before the other.
        let pin = desk.0.join("pin");
        let uri = format!("{}&pin-source=file:{}", named("office"), pin.display());
        TokenKey::open(&uri.parse().unwrap(), &desk.secrets("wrong")).unwrap();
    });
}

#[test]
fn a_missing_library_token_or_key_is_named() {
    with_token("a_missing_library_token_or_key_is_named", |desk| {
        let said = refusal(desk.open("pkcs11:token=aims;object=a?module-path=/nowhere/p11.so"));
        assert!(said.contains("/nowhere/p11.so"), "{said}");
        let readme = desk.0.join("pin");
        let text = format!(
            "pkcs11:token=aims;object=a?module-path={}",
            readme.display()
        );
        assert!(refusal(desk.open(&text)).contains("cannot use the PKCS#11 library"));
        let said = refusal(desk.open(&named("a").replace("token=aims", "token=other")));
        assert!(said.contains("there is no such token"), "{said}");
        assert!(said.contains("there are: aims"), "{said}");
        let said = refusal(desk.open(&named("nobody")));
        assert!(
            said.contains("no private key pkcs11:token=aims;object=nobody"),
            "{said}"
        );
    });
}

#[test]
fn a_key_of_another_type_is_refused() {
    with_token("a_key_of_another_type_is_refused", |desk| {
        let session = desk.session();
        let p256 = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07".to_vec();
        let ed448 = b"\x13\x0aedwards448".to_vec();
        for (name, mechanism, curve) in [
            ("p256", Mechanism::EccKeyPairGen, p256),
            ("ed448", Mechanism::EccEdwardsKeyPairGen, ed448),
        ] {
            session
                .generate_key_pair(
                    &mechanism,
                    &[
                        Attribute::Token(true),
                        label(name),
                        Attribute::EcParams(curve),
                    ],
                    &[Attribute::Token(true), label(name), Attribute::Sign(true)],
                )
                .unwrap();
            let said = refusal(desk.open(&named(name)));
            assert!(said.contains("is not an ed25519 key"), "{name}: {said}");
        }
    });
}

#[test]
fn a_name_that_is_taken_or_means_two_keys_is_refused() {
    with_token(
        "a_name_that_is_taken_or_means_two_keys_is_refused",
        |desk| {
            let first = desk.generate("twin;id=%01");
            let taken: TokenUri = named("twin").parse().unwrap();
            let said = refusal(TokenKey::generate(&taken, &desk.secrets("pin")));
            assert!(said.contains("already"), "{said}");
            let second = desk.generate("twin;id=%02");
            assert_ne!(first.public_key(), second.public_key());
            let said = refusal(desk.open(&named("twin")));
            assert!(said.contains("say which with id="), "{said}");
            let chosen = desk.open(&named("twin;id=%02")).unwrap();
            assert_eq!(chosen.public_key(), second.public_key());
        },
    );
}

/// A public key that is not that of the private key beside it would make statements that nobody
/// accepts.
#[test]
fn a_foreign_public_key_is_found_at_the_first_signature() {
    with_token(
        "a_foreign_public_key_is_found_at_the_first_signature",
        |desk| {
            let one = desk.generate("one;id=%01");
            let other = desk.generate("other;id=%02");
            let session = desk.session();
            let uri: TokenUri = named("one").parse().unwrap();
            let [public] = objects(&session, &uri, ObjectClass::PUBLIC_KEY).unwrap()[..] else {
                panic!("the pair has one public key");
            };
            session.destroy_object(public).unwrap();
            let said = refusal(desk.open(&named("one")));
            assert!(said.contains("no public key object"), "{said}");
            let point = [&[0x04, 0x20][..], other.public_key().as_bytes()].concat();
            session
                .create_object(&[
                    Attribute::Class(ObjectClass::PUBLIC_KEY),
                    Attribute::KeyType(KeyType::EC_EDWARDS),
                    Attribute::Token(true),
                    Attribute::Private(false),
                    Attribute::Verify(true),
                    label("one"),
                    Attribute::Id(vec![1]),
                    Attribute::EcParams(EDWARDS25519.to_vec()),
                    Attribute::EcPoint(point),
                ])
                .unwrap();
            let mixed = desk.open(&named("one")).unwrap();
            assert_eq!(mixed.public_key(), other.public_key());
            let error = mixed.sign(b"message").unwrap_err();
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(cause.contains("does not verify"), "{cause}");
            assert!(one.sign(b"message").is_ok());
        },
    );
}
