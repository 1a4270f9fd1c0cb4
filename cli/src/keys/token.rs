//! Keys in PKCS#11 tokens: smart cards, security modules, `SoftHSM`. The secret stays in there; what is
//! to be signed goes in, and the signature comes out (`CKM_EDDSA`).
//!
//! The library of the token is loaded into this program when a key of it is opened: it runs with all
//! rights of whoever runs the program, so its path is for them to choose.

use std::fmt;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use aimslog_proto::statement::key::{KeyError, PublicKey, Signature, Signer, SignerError};
use anyhow::Result;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;
use zeroize::Zeroizing;

use super::secret::SecretFiles;
use super::uri::TokenUri;
use crate::exit::UserError;

/// The curve as PKCS#11 names it for key generation: the string `edwards25519` in DER.
const EDWARDS25519: &[u8] = b"\x13\x0cedwards25519";

/// A private key of a token, open in a session of its own.
pub(super) struct TokenKey {
    /// A session carries out one operation at a time.
    session: Mutex<Session>,
    private: ObjectHandle,
    public: PublicKey,
    /// Made at the first use, because it costs the token two signatures.
    statement_id_secret: OnceLock<Zeroizing<[u8; 32]>>,
}

/// What a token did that it should not.
#[derive(Debug, thiserror::Error)]
enum TokenError {
    /// It refused, or is gone.
    #[error("the token does not sign")]
    Refused(#[source] Error),
    /// Something else than 64 bytes.
    #[error("the token gave {got} bytes, an ed25519 signature has 64")]
    Length {
        /// Bytes found.
        got: usize,
    },
    /// The public key beside the private one belongs to another, or the token errs.
    #[error("what the token signs does not verify under the public key beside it")]
    OtherKey(#[source] KeyError),
}

impl TokenKey {
    /// Opens the key that the URI names. Asks for the PIN if the token wants one.
    pub(super) fn open(uri: &TokenUri, secrets: &SecretFiles) -> Result<Self> {
        let token = Token::find(uri)?;
        let session = token.module.open_ro_session(token.slot);
        let session = token.log_in(session, uri, secrets)?;
        Self::of(uri, session)
    }

    /// Makes a new key pair under the name that the URI gives it. The secret is made in the token and
    /// never leaves it. Refuses a name that is taken.
    pub(super) fn generate(uri: &TokenUri, secrets: &SecretFiles) -> Result<Self> {
        let Some(label) = &uri.object else {
            return Err(UserError::usage("the URI of a new key needs object=LABEL"));
        };
        let token = Token::find(uri)?;
        let session = token.module.open_rw_session(token.slot);
        let session = token.log_in(session, uri, secrets)?;
        if !objects(&session, uri, ObjectClass::PRIVATE_KEY)?.is_empty() {
            return Err(UserError::usage(format!("there is a key {uri} already")));
        }
        let id = uri
            .id
            .clone()
            .unwrap_or_else(|| rand::random::<[u8; 8]>().to_vec());
        let name = [
            Attribute::Token(true),
            Attribute::Label(label.clone().into_bytes()),
            Attribute::Id(id),
        ];
        let public = [
            Attribute::Private(false),
            Attribute::Verify(true),
            Attribute::EcParams(EDWARDS25519.to_vec()),
        ];
        let private = [
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
        ];
        session
            .generate_key_pair(
                &Mechanism::EccEdwardsKeyPairGen,
                &[&name[..], &public].concat(),
                &[&name[..], &private].concat(),
            )
            .map_err(|error| failed("the token makes no ed25519 key", &error))?;
        Self::of(uri, session)
    }

    fn of(uri: &TokenUri, session: Session) -> Result<Self> {
        let private = match *objects(&session, uri, ObjectClass::PRIVATE_KEY)? {
            [one] => one,
            [] => return Err(UserError::usage(format!("there is no private key {uri}"))),
            [_, ..] => {
                return Err(UserError::usage(format!(
                    "several private keys are {uri}: say which with id="
                )));
            }
        };
        let public = public_key(&session, uri, private)?;
        Ok(Self {
            session: Mutex::new(session),
            private,
            public,
            statement_id_secret: OnceLock::new(),
        })
    }

    fn signature(&self, message: &[u8]) -> Result<Signature, TokenError> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let pure = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure));
        let bytes = session
            .sign(&pure, self.private, message)
            .map_err(TokenError::Refused)?;
        let signature = <[u8; 64]>::try_from(bytes.as_slice())
            .map_err(|_other| TokenError::Length { got: bytes.len() })?;
        let signature = Signature(signature);
        self.public
            .verify(message, &signature)
            .map_err(TokenError::OtherKey)?;
        Ok(signature)
    }
}

impl Signer for TokenKey {
    fn public_key(&self) -> PublicKey {
        self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, SignerError> {
        self.signature(message)
            .map_err(|error| SignerError::Device(Box::new(error)))
    }

    fn statement_id_secret(&self) -> Result<Zeroizing<[u8; 32]>, SignerError> {
        if let Some(secret) = self.statement_id_secret.get() {
            return Ok(secret.clone());
        }
        let secret = aimslog_proto::statement::key::signed_secret(self)?;
        Ok(self.statement_id_secret.get_or_init(|| secret).clone())
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({})", self.public.thumbprint())
    }
}

/// A token that was found, and how to talk to it.
struct Token {
    module: Pkcs11,
    slot: Slot,
    info: TokenInfo,
}

impl Token {
    fn find(uri: &TokenUri) -> Result<Self> {
        let module = load(&uri.module)?;
        let mut matching = Vec::new();
        let mut others = Vec::new();
        let about = |error| failed("cannot list the tokens", &error);
        for slot in module.get_slots_with_initialized_token().map_err(about)? {
            let info = module.get_token_info(slot).map_err(about)?;
            let is = |wanted: &Option<String>, found: &str| {
                wanted.as_ref().is_none_or(|wanted| wanted == found)
            };
            if is(&uri.token, info.label()) && is(&uri.serial, info.serial_number()) {
                matching.push((slot, info));
            } else {
                others.push(info.label().to_owned());
            }
        }
        let mut matching = matching.into_iter();
        let Some((slot, info)) = matching.next() else {
            return Err(UserError::usage(format!(
                "there is no such token ({uri}); there are: {}",
                if others.is_empty() {
                    "none".to_owned()
                } else {
                    others.join(", ")
                }
            )));
        };
        if matching.next().is_some() {
            return Err(UserError::usage(format!(
                "several tokens are {uri}: say which with serial="
            )));
        }
        Ok(Self { module, slot, info })
    }

    /// The session, logged in where the token wants that.
    fn log_in(
        &self,
        session: cryptoki::error::Result<Session>,
        uri: &TokenUri,
        secrets: &SecretFiles,
    ) -> Result<Session> {
        let name = self.info.label();
        let session =
            session.map_err(|error| failed(&format!("cannot open the token {name}"), &error))?;
        if !self.info.login_required() {
            return Ok(session);
        }
        if self.info.user_pin_locked() {
            return Err(UserError::usage(format!(
                "the PIN of the token {name} is locked after too many wrong ones"
            )));
        }
        let result = if self.info.protected_authentication_path() {
            // The token has keys or a reader of its own for the PIN.
            session.login(UserType::User, None)
        } else {
            let pin = secrets.pin(name, uri.pin_file.as_deref())?;
            let pin = AuthPin::from(pin.as_str().to_owned());
            session.login(UserType::User, Some(&pin))
        };
        match result {
            // Another session of this program has logged in: that counts for all of them.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(Error::Pkcs11(RvError::PinIncorrect, _)) => Err(UserError::usage(format!(
                "the PIN of the token {name} is wrong; after too many wrong ones it locks"
            ))),
            Err(Error::Pkcs11(RvError::PinLocked, _)) => Err(UserError::usage(format!(
                "the PIN of the token {name} is locked after too many wrong ones"
            ))),
            Err(error) => Err(failed(&format!("the token {name} lets nobody in"), &error)),
        }
    }
}

fn load(path: &Path) -> Result<Pkcs11> {
    let what = format!("cannot use the PKCS#11 library {}", path.display());
    let module = Pkcs11::new(path).map_err(|error| failed(&what, &error))?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        // Another key of the same library is open.
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(module),
        Err(error) => Err(failed(&what, &error)),
    }
}

/// The objects of a class that the URI names.
fn objects(session: &Session, uri: &TokenUri, class: ObjectClass) -> Result<Vec<ObjectHandle>> {
    let mut wanted = vec![Attribute::Class(class)];
    if let Some(label) = &uri.object {
        wanted.push(Attribute::Label(label.clone().into_bytes()));
    }
    if let Some(id) = &uri.id {
        wanted.push(Attribute::Id(id.clone()));
    }
    session
        .find_objects(&wanted)
        .map_err(|error| failed("cannot search the token", &error))
}

/// The public half of a private key: in the object beside it with the same id.
fn public_key(session: &Session, uri: &TokenUri, private: ObjectHandle) -> Result<PublicKey> {
    let about = |error| failed("cannot read the key's attributes", &error);
    let not_ed25519 = || UserError::usage(format!("the key {uri} is not an ed25519 key"));
    let mut id = None;
    let asked = [AttributeType::KeyType, AttributeType::Id];
    for attribute in session.get_attributes(private, &asked).map_err(about)? {
        match attribute {
            Attribute::KeyType(KeyType::EC_EDWARDS) => {}
            Attribute::KeyType(_) => return Err(not_ed25519()),
            Attribute::Id(found) => id = Some(found),
            _ => {}
        }
    }
    let beside = TokenUri {
        id: id.filter(|id| !id.is_empty()),
        ..uri.clone()
    };
    let [public] = *objects(session, &beside, ObjectClass::PUBLIC_KEY)? else {
        return Err(UserError::usage(format!(
            "the key {uri} has no public key object of the same label and id beside it"
        )));
    };
    let asked = [AttributeType::EcPoint];
    let found = session.get_attributes(public, &asked).map_err(about)?;
    let Some(Attribute::EcPoint(point)) = found.into_iter().next() else {
        return Err(not_ed25519());
    };
    // PKCS#11 2.40 wraps the point into a DER octet string, 3.0 gives it as it is.
    let point = match point.as_slice() {
        [0x04, 0x20, wrapped @ ..] if wrapped.len() == 32 => wrapped,
        plain => plain,
    };
    let point = <&[u8; 32]>::try_from(point).map_err(|_other_curve| not_ed25519())?;
    PublicKey::from_bytes(point)
        .map_err(|error| UserError::usage(format!("the public key beside {uri}: {error}")))
}

/// What failed, and what the library says of it, in one line.
fn failed(what: &str, error: &Error) -> anyhow::Error {
    let why = match error {
        // The text of each code is a paragraph of the standard; its name is what one looks for.
        Error::Pkcs11(code, function) => format!("{function:?}: {code:?}"),
        other => other.to_string(),
    };
    UserError::usage(format!("{what}: {why}"))
}

#[cfg(test)]
mod tests;
