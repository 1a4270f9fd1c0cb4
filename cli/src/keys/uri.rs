//! PKCS#11 URIs (RFC 7512): which key, in which token, through which library.
//!
//! ```text
//! pkcs11:token=NAME;object=LABEL?module-path=/usr/lib/softhsm/libsofthsm2.so
//! ```
//!
//! Read: `token`, `serial`, `object`, `id`, `type=private`; `module-path`, `pin-source`. `module` is
//! another name of `module-path`. Anything else is refused: a key that is chosen by half of what was
//! asked for may be another key.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

const SCHEME: &str = "pkcs11:";

/// Whether a text means to be such a URI.
pub(super) fn is_pkcs11(text: &str) -> bool {
    text.get(..SCHEME.len())
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
}

/// Names one private key of a token.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TokenUri {
    /// The library that talks to the token.
    pub(super) module: PathBuf,
    /// Label of the token.
    pub(super) token: Option<String>,
    /// Serial number of the token.
    pub(super) serial: Option<String>,
    /// Label of the key (`CKA_LABEL`).
    pub(super) object: Option<String>,
    /// Id of the key (`CKA_ID`).
    pub(super) id: Option<Vec<u8>>,
    /// File that holds the PIN.
    pub(super) pin_file: Option<PathBuf>,
}

/// Why a text is no URI of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UriError {
    /// Not `name=value`.
    #[error("a PKCS#11 URI is made of name=value: {part:?} is not")]
    NoValue {
        /// The part.
        part: String,
    },
    /// Neither of RFC 7512, or one that does not choose a key.
    #[error(
        "a PKCS#11 URI of a key has token, serial, object, id, type=private, module-path and \
         pin-source, not {name:?}"
    )]
    Unknown {
        /// Its name.
        name: String,
    },
    /// The same thing said twice.
    #[error("the PKCS#11 URI says {name} twice")]
    Twice {
        /// Its name.
        name: &'static str,
    },
    /// `%` without two hexadecimal digits, or bytes that are no text where text is meant.
    #[error("the value of {name} in the PKCS#11 URI is not percent-encoded text")]
    Encoding {
        /// Its name.
        name: String,
    },
    /// The PIN itself would stand in shell histories, process lists and configurations.
    #[error(
        "a PIN does not belong into a URI: use pin-source=file:PATH, --pin-file, or the terminal"
    )]
    PinValue,
    /// A place that we do not read PINs from.
    #[error("pin-source is file:PATH")]
    PinSource,
    /// Something without which no key is named.
    #[error("the PKCS#11 URI lacks {name}")]
    Missing {
        /// What.
        name: &'static str,
    },
}

impl FromStr for TokenUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let rest = text.get(SCHEME.len()..).unwrap_or_default();
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut uri = Self::default();
        let parts = path.split(';').chain(query.split('&'));
        for part in parts.filter(|part| !part.is_empty()) {
            let no_value = || UriError::NoValue {
                part: part.to_owned(),
            };
            let (name, value) = part.split_once('=').ok_or_else(no_value)?;
            uri.set(name, value)?;
        }
        if uri.module.as_os_str().is_empty() {
            let name = "module-path, the library of the token";
            return Err(UriError::Missing { name });
        }
        if uri.token.is_none() && uri.serial.is_none() {
            return Err(UriError::Missing { name: "token" });
        }
        if uri.object.is_none() && uri.id.is_none() {
            return Err(UriError::Missing { name: "object" });
        }
        Ok(uri)
    }
}

impl TokenUri {
    fn set(&mut self, name: &str, value: &str) -> Result<(), UriError> {
        let encoding = || UriError::Encoding {
            name: name.to_owned(),
        };
        let bytes = decode(value).ok_or_else(encoding)?;
        if name == "id" {
            return put(&mut self.id, "id", bytes);
        }
        let text = String::from_utf8(bytes).map_err(|_not_text| encoding())?;
        match name {
            "token" => put(&mut self.token, "token", text),
            "serial" => put(&mut self.serial, "serial", text),
            "object" => put(&mut self.object, "object", text),
            "module" | "module-path" => {
                let mut module = Some(std::mem::take(&mut self.module));
                module = module.filter(|path| !path.as_os_str().is_empty());
                put(&mut module, "module-path", PathBuf::from(text))?;
                self.module = module.unwrap_or_default();
                Ok(())
            }
            "pin-source" => {
                let path = text.strip_prefix("file:").ok_or(UriError::PinSource)?;
                let path = path.strip_prefix("//").unwrap_or(path);
                put(&mut self.pin_file, "pin-source", PathBuf::from(path))
            }
            "pin-value" => Err(UriError::PinValue),
            "type" if text == "private" => Ok(()),
            _ => Err(UriError::Unknown {
                name: name.to_owned(),
            }),
        }
    }
}

fn put<T>(place: &mut Option<T>, name: &'static str, value: T) -> Result<(), UriError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(UriError::Twice { name }),
    }
}

impl fmt::Display for TokenUri {
    /// The canonical form, which reads back as the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SCHEME)?;
        let path = [
            ("token", self.token.as_ref().map(String::as_bytes)),
            ("serial", self.serial.as_ref().map(String::as_bytes)),
            ("object", self.object.as_ref().map(String::as_bytes)),
            ("id", self.id.as_deref()),
        ];
        let mut separator = "";
        for (name, value) in path {
            if let Some(value) = value {
                write!(f, "{separator}{name}={}", encode(value))?;
                separator = ";";
            }
        }
        let module = self.module.as_os_str().as_encoded_bytes();
        write!(f, "?module-path={}", encode(module))?;
        if let Some(pin) = &self.pin_file {
            let pin = encode(pin.as_os_str().as_encoded_bytes());
            write!(f, "&pin-source=file:{pin}")?;
        }
        Ok(())
    }
}

/// The bytes of percent-encoded text (RFC 3986 2.1).
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let value = digit(rest.next()?)? * 16 + digit(rest.next()?)?;
        bytes.push(u8::try_from(value).ok()?);
    }
    Some(bytes)
}

/// Everything but the unreserved characters and `/` is encoded.
fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(byte) {
            text.push(char::from(*byte));
        } else {
            text.push('%');
            for digit in [byte >> 4, byte & 0xf] {
                let digit = char::from_digit(digit.into(), 16).unwrap_or('0');
                text.push(digit.to_ascii_uppercase());
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<TokenUri, UriError> {
        text.parse()
    }

    #[test]
    fn reads_what_names_a_key_in_either_part() {
        let full = "pkcs11:token=My%20token;serial=1f;object=me;id=%01%ff;type=private\
                    ?module-path=/lib/p11.so&pin-source=file:///run/pin";
        let uri = parse(full).unwrap();
        let expected = TokenUri {
            module: PathBuf::from("/lib/p11.so"),
            token: Some("My token".to_owned()),
            serial: Some("1f".to_owned()),
            object: Some("me".to_owned()),
            id: Some(vec![1, 255]),
            pin_file: Some(PathBuf::from("/run/pin")),
        };
        assert_eq!(uri, expected);
        let short = parse("pkcs11:module=/lib/p11.so;token=t;object=me").unwrap();
        assert_eq!(
            short.to_string(),
            "pkcs11:token=t;object=me?module-path=/lib/p11.so"
        );
    }

    #[test]
    fn what_it_prints_reads_back_as_the_same() {
        for text in [
            "pkcs11:token=a%3Bb%3F%26%25;object=%C3%A9?module-path=/a%20b.so",
            "PKCS11:serial=9;id=%00%41?module-path=p11.so&pin-source=file:pin",
        ] {
            let uri = parse(text).unwrap();
            assert_eq!(parse(&uri.to_string()), Ok(uri), "{text}");
        }
    }

    #[test]
    fn refuses_each_other_form_by_its_own_error() {
        let whole = "token=t;object=o?module-path=m";
        let encoding = |name: &str| UriError::Encoding {
            name: name.to_owned(),
        };
        for (text, error) in [
            (
                "pkcs11:token",
                UriError::NoValue {
                    part: "token".to_owned(),
                },
            ),
            (
                "pkcs11:slot-id=1",
                UriError::Unknown {
                    name: "slot-id".to_owned(),
                },
            ),
            (
                "pkcs11:type=public",
                UriError::Unknown {
                    name: "type".to_owned(),
                },
            ),
            ("pkcs11:token=a;token=b", UriError::Twice { name: "token" }),
            (
                "pkcs11:module=a?module-path=b",
                UriError::Twice {
                    name: "module-path",
                },
            ),
            ("pkcs11:token=%4", encoding("token")),
            ("pkcs11:token=%zz", encoding("token")),
            ("pkcs11:object=%ff", encoding("object")),
            ("pkcs11:?pin-value=1234", UriError::PinValue),
            ("pkcs11:?pin-source=env:PIN", UriError::PinSource),
            (
                "pkcs11:token=t;object=o",
                UriError::Missing {
                    name: "module-path, the library of the token",
                },
            ),
            (
                "pkcs11:object=o;module=m",
                UriError::Missing { name: "token" },
            ),
            (
                "pkcs11:token=t;module=m",
                UriError::Missing { name: "object" },
            ),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
        assert!(parse(&format!("pkcs11:{whole}")).is_ok());
    }
}
