//! Sealing: what is needed to resume and secret to show is kept encrypted, under a key that can be erased.
//!
//! Each session has a random key of its own. It is stored beside the chain, wrapped under the gateway's master key;
//! erasing the wrapped key erases every sealed text of the session, while the chain over the ciphertext still verifies.
//! The master key never leaves this file: what others need of it is derived for one purpose each. It is in a file of this machine, or
//! one of a ring ([`keyring`](super::keyring)).

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    encoding::{AsDer, PublicKeyX509Der},
    hkdf, hmac,
    rand::{self, SystemRandom},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use zeroize::Zeroizing;

use super::{
    keyring::{KeyWrapper, Ring, Shelf, WrapError},
    ports::WrappedKey,
};
use crate::domain::{
    id::{ApprovalId, Entropy, RequestId, SessionId},
    record::Hash,
    session::Sealed,
};

pub(super) const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;

/// What a sealed text is, so that one can never be passed off as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The operation exactly as it was asked.
    Operation,
    /// The operation as it was asked, where policy rewrote it.
    Asked,
    /// A masked result.
    Result,
    /// The masked rows that an exact preview shows.
    Samples,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Self::Operation => "operation",
            Self::Asked => "asked",
            Self::Result => "result",
            Self::Samples => "samples",
        }
    }
}

/// Why a key or a sealed text cannot be used. Holds no key and no text.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The key file could not be read or made.
    #[error("the key file {path} cannot be {action}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Others on this machine may read it.
    #[error(
        "the key file {path} may be read by others (mode {mode:04o}); run `chmod 600 {path}`, and replace the key if anyone could have read it"
    )]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It holds something else.
    #[error(
        "the key file {path} does not hold {expected}; restore it from a backup, or move it away to start with a new key (what was sealed under the old one stays unreadable)"
    )]
    NotAKey {
        /// Which file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// It was wrapped by another key than this gateway's.
    #[error(
        "the session's key is wrapped by `{by}`, and this gateway holds `{held}`: give it the key that the session was recorded under"
    )]
    OtherKey {
        /// The key it names.
        by: String,
        /// The key at hand.
        held: String,
    },
    /// It does not decrypt: changed, or sealed for something else.
    #[error("a sealed {0} cannot be opened: it was changed, or sealed for another purpose")]
    Unopened(&'static str),
    /// They are in a vault that does not give them. Why is for the log, not for callers.
    #[error(
        "the keys that seal cannot be had from their vault, so nothing was run or disclosed; try again later, and see the gateway's log"
    )]
    Vault(#[from] WrapError),
    /// The library refused.
    #[error("the cryptographic library refused to {0}")]
    Library(&'static str),
}

/// The gateway's keys: the root, from which what lasts is derived, and the master key that wraps the keys of sessions.
pub struct Sealer {
    root: hkdf::Prk,
    keys: Keys,
}

enum Keys {
    /// One master key, which is the root as well.
    Held(MasterKey),
    /// Those of a vault.
    Ring(Box<Ring>),
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.keys {
            Keys::Held(master) => write!(f, "Sealer({})", master.id),
            Keys::Ring(_) => f.write_str("Sealer(vault)"),
        }
    }
}

impl Sealer {
    /// Opens the key file, or makes one of 32 random bytes that only its owner may read. The directory must exist.
    pub fn open_or_create(path: &Path) -> Result<Self, SealError> {
        let bytes = open_or_create_secret(path, || {
            let mut key = Zeroizing::new(vec![0; KEY_BYTES]);
            rand::fill(&mut key).map_err(|_| SealError::Library("make a key"))?;
            Ok(key)
        })?;
        let key: &[u8; KEY_BYTES] =
            bytes
                .as_slice()
                .try_into()
                .map_err(|_| SealError::NotAKey {
                    path: path.into(),
                    expected: "32 bytes",
                })?;
        Self::from_key(key)
    }

    /// A sealer with this master key: for keys that come from elsewhere, and for simulations.
    pub fn from_key(key: &[u8; KEY_BYTES]) -> Result<Self, SealError> {
        Ok(Self {
            root: extracted(key),
            keys: Keys::Held(MasterKey::from_key(key)?),
        })
    }

    /// The keys on `shelf` that `wrapper` wraps, and the export key among them. Made if there are none.
    pub async fn shared(
        wrapper: Arc<dyn KeyWrapper>,
        shelf: Arc<dyn Shelf>,
    ) -> Result<(Self, ExportKey), SealError> {
        let ring = Ring::open(wrapper, shelf).await?;
        let export_key = ring.export_key().await?;
        let sealer = Self {
            root: ring.root(),
            keys: Keys::Ring(Box::new(ring)),
        };
        Ok((sealer, export_key))
    }

    /// A new session's key, made of 32 fresh random bytes, and its wrapped form for the store.
    pub async fn new_session_key(
        &self,
        session: &SessionId,
        entropy: [Entropy; 2],
    ) -> Result<(SessionKey, WrappedKey), SealError> {
        let make = |master: &MasterKey| master.new_session_key(session, entropy);
        match &self.keys {
            Keys::Held(master) => make(master),
            Keys::Ring(ring) => ring.with_newest(make).await,
        }
    }

    /// The session's key from its wrapped form.
    pub async fn unwrap(
        &self,
        session: &SessionId,
        key: &WrappedKey,
    ) -> Result<SessionKey, SealError> {
        let open = |master: &MasterKey| master.unwrap(session, key);
        match &self.keys {
            Keys::Held(master) => open(master),
            Keys::Ring(ring) => ring.with(&key.by, open).await,
        }
    }

    /// The key that pseudonyms are made with: the same for as long as the root is.
    pub fn masking_key(&self) -> Result<Zeroizing<[u8; KEY_BYTES]>, SealError> {
        derive(&self.root, &[b"portcullis-masking-v1"])
    }

    /// What goes with the question that `digest` is of, and has to come back with an answer to it by message.
    pub fn proof(&self, approval: &ApprovalId, digest: &Hash) -> Result<Proof, SealError> {
        let tag = hmac::sign(&self.proof_key()?, &asked(approval, digest));
        Ok(Proof(BASE64.encode(tag)))
    }

    /// Whether `said` is the proof of exactly this question. Takes as long for what is nearly right as for what is not.
    pub fn proves(
        &self,
        approval: &ApprovalId,
        digest: &Hash,
        said: &str,
    ) -> Result<bool, SealError> {
        let Ok(tag) = BASE64.decode(said) else {
            return Ok(false);
        };
        Ok(hmac::verify(&self.proof_key()?, &asked(approval, digest), &tag).is_ok())
    }

    fn proof_key(&self) -> Result<hmac::Key, SealError> {
        let key = derive::<KEY_BYTES>(&self.root, &[b"portcullis-approval-proof-v1"])?;
        Ok(hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()))
    }
}

/// A key that wraps the keys of sessions.
pub struct MasterKey {
    master: hkdf::Prk,
    id: String,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.id)
    }
}

impl MasterKey {
    /// One that is at hand.
    pub fn from_key(key: &[u8; KEY_BYTES]) -> Result<Self, SealError> {
        Self::of("local", key)
    }

    /// One that comes from `kind` of place, which its name says.
    pub(super) fn of(kind: &str, key: &[u8; KEY_BYTES]) -> Result<Self, SealError> {
        let master = extracted(key);
        let id = derive::<8>(&master, &[b"portcullis-key-id-v1"])?;
        let id = format!("{kind}:{}", crate::domain::id::hex(id.as_ref()));
        Ok(Self { master, id })
    }

    /// Its name, which says nothing about it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A new session's key, made of 32 fresh random bytes, and its wrapped form for the store.
    pub fn new_session_key(
        &self,
        session: &SessionId,
        entropy: [Entropy; 2],
    ) -> Result<(SessionKey, WrappedKey), SealError> {
        let mut raw = Zeroizing::new([0; KEY_BYTES]);
        raw[..16].copy_from_slice(&entropy[0]);
        raw[16..].copy_from_slice(&entropy[1]);
        let nonce = self.wrapping_nonce(session, &raw)?;
        let mut wrapped = nonce.to_vec();
        let mut text = raw.to_vec();
        self.wrapping_key(session)?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(session.as_str()),
                &mut text,
            )
            .map_err(|_| SealError::Library("wrap a session's key"))?;
        wrapped.extend_from_slice(&text);
        let key = SessionKey::from_raw(session, &raw)?;
        Ok((
            key,
            WrappedKey {
                by: self.id.clone(),
                wrapped: BASE64.encode(wrapped),
            },
        ))
    }

    /// The session's key from its wrapped form.
    pub fn unwrap(&self, session: &SessionId, key: &WrappedKey) -> Result<SessionKey, SealError> {
        if key.by != self.id {
            return Err(SealError::OtherKey {
                by: key.by.clone(),
                held: self.id.clone(),
            });
        }
        let unopened = || SealError::Unopened("session key");
        let mut bytes = Zeroizing::new(BASE64.decode(&key.wrapped).map_err(|_| unopened())?);
        let (nonce, text) = bytes
            .split_first_chunk_mut::<NONCE_BYTES>()
            .ok_or_else(unopened)?;
        let raw = self
            .wrapping_key(session)?
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(session.as_str()),
                text,
            )
            .map_err(|_| unopened())?;
        let raw: &[u8; KEY_BYTES] = (&*raw).try_into().map_err(|_| unopened())?;
        SessionKey::from_raw(session, raw)
    }

    /// One wrapping key per session, so that no count of sessions wears a single key's nonces out.
    fn wrapping_key(&self, session: &SessionId) -> Result<LessSafeKey, SealError> {
        let key = derive::<KEY_BYTES>(
            &self.master,
            &[b"portcullis-wrap-v1\0", session.as_str().as_bytes()],
        )?;
        aes(&key)
    }

    /// Made from the key it wraps: two processes that open the same session at once wrap two keys, and never under
    /// the same nonce.
    fn wrapping_nonce(
        &self,
        session: &SessionId,
        raw: &[u8; KEY_BYTES],
    ) -> Result<[u8; NONCE_BYTES], SealError> {
        let key = derive::<KEY_BYTES>(
            &self.master,
            &[b"portcullis-wrap-nonce-v1\0", session.as_str().as_bytes()],
        )?;
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()), raw);
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&tag.as_ref()[..NONCE_BYTES]);
        Ok(nonce)
    }
}

/// What only those who were asked can know. It travels with a question and back with its answer, so that whoever can
/// merely write to the queue of answers cannot give one. It is for one question, which a decision closes; it is not on
/// record and on no page, and every process that holds the master key can make it anew.
#[derive(Clone, PartialEq, Eq)]
pub struct Proof(String);

impl Proof {
    /// For the message to approvers, and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof(…)")
    }
}

fn asked(approval: &ApprovalId, digest: &Hash) -> Vec<u8> {
    format!("{approval}\0{digest}").into_bytes()
}

/// A session's key, unwrapped. In memory only.
pub struct SessionKey {
    session: SessionId,
    key: LessSafeKey,
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionKey({})", self.session)
    }
}

impl SessionKey {
    fn from_raw(session: &SessionId, raw: &[u8; KEY_BYTES]) -> Result<Self, SealError> {
        Ok(Self {
            session: session.clone(),
            key: aes(raw)?,
        })
    }

    /// Seals `text` for one request and purpose. `nonce` must be fresh: never twice with the same session.
    pub fn seal(
        &self,
        request: &RequestId,
        purpose: Purpose,
        nonce: [u8; NONCE_BYTES],
        text: &[u8],
    ) -> Result<Sealed, SealError> {
        let mut bytes = Vec::with_capacity(text.len() + AES_256_GCM.tag_len());
        bytes.extend_from_slice(text);
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                self.bound_to(request, purpose),
                &mut bytes,
            )
            .map_err(|_| SealError::Library("seal"))?;
        Ok(Sealed {
            nonce: BASE64.encode(nonce),
            ciphertext: BASE64.encode(bytes),
        })
    }

    /// Opens what was sealed for this request and purpose, and nothing else.
    pub fn open(
        &self,
        request: &RequestId,
        purpose: Purpose,
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let unopened = || SealError::Unopened(purpose.as_str());
        let mut nonce = [0; NONCE_BYTES];
        let decoded = BASE64.decode(&sealed.nonce).map_err(|_| unopened())?;
        if decoded.len() != NONCE_BYTES {
            return Err(unopened());
        }
        nonce.copy_from_slice(&decoded);
        let mut bytes = Zeroizing::new(BASE64.decode(&sealed.ciphertext).map_err(|_| unopened())?);
        let length = self
            .key
            .open_in_place(
                Nonce::assume_unique_for_key(nonce),
                self.bound_to(request, purpose),
                &mut bytes,
            )
            .map_err(|_| unopened())?
            .len();
        bytes.truncate(length);
        Ok(bytes)
    }

    fn bound_to(&self, request: &RequestId, purpose: Purpose) -> Aad<String> {
        Aad::from(format!(
            "portcullis-sealed-v1\0{}\0{request}\0{}",
            self.session,
            purpose.as_str()
        ))
    }
}

/// The key exports are signed with: ES256, whose public half travels in every export.
pub struct ExportKey {
    pair: EcdsaKeyPair,
    public: Vec<u8>,
}

impl fmt::Debug for ExportKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExportKey({})", self.fingerprint())
    }
}

impl ExportKey {
    /// Opens the key file (PKCS#8), or makes one that only its owner may read. The directory must exist.
    pub fn open_or_create(path: &Path) -> Result<Self, SealError> {
        let bytes = open_or_create_secret(path, Self::generate)?;
        Self::from_pkcs8(&bytes).map_err(|error| match error {
            SealError::Unopened(_) => SealError::NotAKey {
                path: path.into(),
                expected: "a P-256 key in PKCS#8",
            },
            error => error,
        })
    }

    /// A new key, in PKCS#8.
    pub(super) fn generate() -> Result<Zeroizing<Vec<u8>>, SealError> {
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map(|document| Zeroizing::new(document.as_ref().to_vec()))
            .map_err(|_| SealError::Library("make a signing key"))
    }

    pub(super) fn from_pkcs8(bytes: &[u8]) -> Result<Self, SealError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes)
            .map_err(|_| SealError::Unopened("signing key"))?;
        let public: PublicKeyX509Der<'_> = pair
            .public_key()
            .as_der()
            .map_err(|_| SealError::Library("write a public key"))?;
        let public = public.as_ref().to_vec();
        Ok(Self { pair, public })
    }

    /// The public half, as a SubjectPublicKeyInfo in DER.
    pub fn public_key(&self) -> &[u8] {
        &self.public
    }

    /// The public half as a PEM file has it, to hand to whoever will verify exports.
    pub fn public_pem(&self) -> String {
        let base64 = BASE64.encode(&self.public);
        let mut pem = String::from("-----BEGIN PUBLIC KEY-----\n");
        let mut rest = base64.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = after;
        }
        pem.push_str("-----END PUBLIC KEY-----\n");
        pem
    }

    /// SHA-256 of [`Self::public_key`]: what `verify --key` takes.
    pub fn fingerprint(&self) -> Hash {
        Hash::of(&self.public)
    }

    /// Signs: 64 bytes, r and s.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SealError> {
        self.pair
            .sign(&SystemRandom::new(), message)
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| SealError::Library("sign"))
    }
}

/// Seals what lasts as long as the root, as text.
pub(super) fn seal_under(root: &hkdf::Prk, what: &str, text: &[u8]) -> Result<String, SealError> {
    let mut nonce = [0; NONCE_BYTES];
    rand::fill(&mut nonce).map_err(|_| SealError::Library("make a nonce"))?;
    let mut bytes = Zeroizing::new(text.to_vec());
    under(root, what)?
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(what),
            &mut *bytes,
        )
        .map_err(|_| SealError::Library("seal"))?;
    Ok(BASE64.encode([&nonce[..], &bytes].concat()))
}

/// What [`seal_under`] sealed.
pub(super) fn open_under(
    root: &hkdf::Prk,
    what: &str,
    sealed: &str,
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let unopened = || SealError::Unopened("key");
    let mut bytes = Zeroizing::new(BASE64.decode(sealed).map_err(|_| unopened())?);
    let (nonce, text) = bytes
        .split_first_chunk_mut::<NONCE_BYTES>()
        .ok_or_else(unopened)?;
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let opened = under(root, what)?.open_in_place(nonce, Aad::from(what), text);
    Ok(Zeroizing::new(opened.map_err(|_| unopened())?.to_vec()))
}

fn under(root: &hkdf::Prk, what: &str) -> Result<LessSafeKey, SealError> {
    aes(&*derive::<KEY_BYTES>(
        root,
        &[b"portcullis-under-root-v1\0", what.as_bytes()],
    )?)
}

/// What keys are derived from.
pub(super) fn extracted(key: &[u8; KEY_BYTES]) -> hkdf::Prk {
    hkdf::Salt::new(hkdf::HKDF_SHA256, b"portcullis-master-v1").extract(key)
}

fn aes(key: &[u8; KEY_BYTES]) -> Result<LessSafeKey, SealError> {
    UnboundKey::new(&AES_256_GCM, key)
        .map(LessSafeKey::new)
        .map_err(|_| SealError::Library("take a key"))
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive<const N: usize>(
    master: &hkdf::Prk,
    info: &[&[u8]],
) -> Result<Zeroizing<[u8; N]>, SealError> {
    let mut key = Zeroizing::new([0; N]);
    master
        .expand(info, Length(N))
        .and_then(|okm| okm.fill(key.as_mut()))
        .map_err(|_| SealError::Library("derive a key"))?;
    Ok(key)
}

/// Reads a file only its owner may read, or makes it. Two processes that make it at once end up with the same one:
/// the file appears whole under its name, and only if none is there.
fn open_or_create_secret(
    path: &Path,
    make: impl FnOnce() -> Result<Zeroizing<Vec<u8>>, SealError>,
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    match read_secret(path) {
        Err(SealError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        done => return done,
    }
    let failed = |source| SealError::File {
        path: path.into(),
        action: "made",
        source,
    };
    let secret = make()?;
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.new", std::process::id()));
    let draft = PathBuf::from(draft);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options
        .open(&draft)
        .and_then(|mut file| {
            file.write_all(&secret)?;
            file.sync_all()
        })
        .and_then(|()| match fs::hard_link(&draft, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        });
    // The name that counts is `path`; a draft left behind is only untidy.
    let _ = fs::remove_file(&draft);
    written.map_err(failed)?;
    if let Some(directory) = path.parent().filter(|path| !path.as_os_str().is_empty()) {
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(failed)?;
    }
    read_secret(path)
}

fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let failed = |source| SealError::File {
        path: path.into(),
        action: "read",
        source,
    };
    let file = File::open(path).map_err(failed)?;
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::MetadataExt::mode(&file.metadata().map_err(failed)?) & 0o7777;
        if mode & 0o077 != 0 {
            return Err(SealError::Exposed {
                path: path.into(),
                mode,
            });
        }
    }
    // No key file is this long: what is longer is the wrong file, and is not read into memory.
    const LONGEST: u64 = 4096;
    let mut secret = Zeroizing::new(Vec::with_capacity(LONGEST as usize));
    file.take(LONGEST)
        .read_to_end(&mut secret)
        .map_err(failed)?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(of: u8) -> SessionId {
        SessionId::new([of; 16])
    }

    fn master() -> MasterKey {
        MasterKey::from_key(&[7; 32]).unwrap()
    }

    fn sealer() -> Sealer {
        Sealer::from_key(&[7; 32]).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_for_the_same_session_request_and_purpose_only() {
        let master = master();
        let (key, wrapped) = master
            .new_session_key(&session(1), [[1; 16], [2; 16]])
            .unwrap();
        let (request, other) = (
            RequestId::new(&session(1), [1; 16]),
            RequestId::new(&session(1), [2; 16]),
        );
        let sealed = key
            .seal(&request, Purpose::Operation, [3; 12], b"DELETE FROM t")
            .unwrap();
        let key = master.unwrap(&session(1), &wrapped).unwrap();
        let opened = key.open(&request, Purpose::Operation, &sealed).unwrap();
        assert_eq!(opened.as_slice(), b"DELETE FROM t");
        assert!(key.open(&other, Purpose::Operation, &sealed).is_err());
        assert!(key.open(&request, Purpose::Result, &sealed).is_err());
        let (second, _) = master
            .new_session_key(&session(2), [[1; 16], [2; 16]])
            .unwrap();
        assert!(second.open(&request, Purpose::Operation, &sealed).is_err());
    }

    #[test]
    fn every_flipped_bit_of_a_sealed_text_or_wrapped_key_is_refused() {
        let master = master();
        let (key, wrapped) = master
            .new_session_key(&session(1), [[1; 16], [2; 16]])
            .unwrap();
        let request = RequestId::new(&session(1), [1; 16]);
        let sealed = key.seal(&request, Purpose::Result, [3; 12], b"[]").unwrap();
        let flip = |text: &str, bit: usize| {
            let mut bytes = BASE64.decode(text).unwrap();
            bytes[bit / 8] ^= 1 << (bit % 8);
            BASE64.encode(bytes)
        };
        for bit in 0..(2 + 16) * 8 {
            let mut sealed = sealed.clone();
            sealed.ciphertext = flip(&sealed.ciphertext, bit);
            assert!(key.open(&request, Purpose::Result, &sealed).is_err());
        }
        for bit in 0..12 * 8 {
            let mut sealed = sealed.clone();
            sealed.nonce = flip(&sealed.nonce, bit);
            assert!(key.open(&request, Purpose::Result, &sealed).is_err());
        }
        for bit in 0..(12 + 32 + 16) * 8 {
            let mut wrapped = wrapped.clone();
            wrapped.wrapped = flip(&wrapped.wrapped, bit);
            assert!(master.unwrap(&session(1), &wrapped).is_err());
        }
        assert!(master.unwrap(&session(2), &wrapped).is_err());
    }

    #[test]
    fn two_keys_made_for_one_session_never_share_a_nonce() {
        let master = master();
        let nonce = |entropy| {
            let (_, wrapped) = master.new_session_key(&session(1), entropy).unwrap();
            BASE64.decode(wrapped.wrapped).unwrap()[..12].to_vec()
        };
        assert_ne!(nonce([[1; 16], [2; 16]]), nonce([[1; 16], [3; 16]]));
    }

    #[test]
    fn a_proof_is_for_one_question_of_one_gateway() {
        let approval = |of| RequestId::new(&session(1), [of; 16]).approval();
        let (first, second) = (Hash::of(b"first"), Hash::of(b"second"));
        let proof = sealer().proof(&approval(1), &first).unwrap();
        let proves = |sealer: &Sealer, of, digest, said: &str| {
            sealer.proves(&approval(of), digest, said).unwrap()
        };
        assert!(proves(&sealer(), 1, &first, proof.expose()));
        assert!(!proves(&sealer(), 2, &first, proof.expose()));
        assert!(!proves(&sealer(), 1, &second, proof.expose()));
        let other = Sealer::from_key(&[8; 32]).unwrap();
        assert!(!proves(&other, 1, &first, proof.expose()));
        for said in ["", "AAAA", "approve", &proof.expose()[4..]] {
            assert!(!proves(&sealer(), 1, &first, said), "{said}");
        }
        assert_eq!(format!("{proof:?}"), "Proof(…)");
    }

    #[test]
    fn a_key_wrapped_by_another_gateway_is_named() {
        let (_, wrapped) = master()
            .new_session_key(&session(1), [[1; 16], [2; 16]])
            .unwrap();
        let other = MasterKey::from_key(&[8; 32]).unwrap();
        let error = other.unwrap(&session(1), &wrapped).unwrap_err();
        assert!(error.to_string().contains(&wrapped.by), "{error}");
    }

    #[test]
    fn no_debug_output_shows_a_key() {
        let (key, _) = master()
            .new_session_key(&session(1), [[0x41; 16], [0x41; 16]])
            .unwrap();
        assert_eq!(
            format!("{key:?}"),
            "SessionKey(ses_01010101010101010101010101010101)"
        );
        assert!(format!("{:?}", sealer()).starts_with("Sealer(local:"));
        assert!(format!("{:?}", master()).starts_with("MasterKey(local:"));
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_is_made_once_and_only_its_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master.key");
        let first = Sealer::open_or_create(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        let again = Sealer::open_or_create(&path).unwrap();
        assert_eq!(first.masking_key().unwrap(), again.masking_key().unwrap());

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = Sealer::open_or_create(&path).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");

        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, [0; 31]).unwrap();
        let error = Sealer::open_or_create(&path).unwrap_err().to_string();
        assert!(error.contains("32 bytes"), "{error}");
        let nowhere = directory.path().join("missing").join("key");
        let error = Sealer::open_or_create(&nowhere).unwrap_err().to_string();
        assert!(error.contains("cannot be made"), "{error}");
    }

    #[test]
    fn an_export_key_signs_what_its_public_half_verifies() {
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("export.key");
        let key = ExportKey::open_or_create(&path).unwrap();
        let signature = key.sign(b"manifest").unwrap();
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.public_key());
        public.verify(b"manifest", &signature).unwrap();
        let again = ExportKey::open_or_create(&path).unwrap();
        assert_eq!(again.fingerprint(), key.fingerprint());
    }
}
