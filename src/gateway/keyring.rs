//! The keys of gateways that share a record: made here, wrapped by a key that never leaves its vault, kept beside the record.
//!
//! | document | holds | is made |
//! |---|---|---|
//! | `1`, `2`, … | a generation: the root and one master key, wrapped together by one version of the vault's key | `1` by the first gateway, the next by whoever first sees a new version |
//! | `export` | the key exports are signed with, sealed under the root | by the first gateway |
//!
//! The root is the same in every generation: pseudonyms, proofs and the export key outlive a rotation. The master key is another
//! in each. New sessions use the newest; older ones open for as long as the vault lets the version that wrapped theirs unwrap.
//!
//! **Forgery.** Wrapping takes a public key alone, so whoever may create documents could put a generation of their own beside
//! ours. Documents are only ever created, and the oldest that opens says what the root is: one with another root is not used, and
//! is told.
//!
//! **Bounds.** What was unwrapped is used without asking for [`Terms::fresh`]; then one caller asks again. A vault that refuses ends
//! it at once, one that does not answer at [`Terms::limit`]. What is not bounded: the root, for as long as the process runs, and the
//! keys of sessions that are in use.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use aws_lc_rs::{hkdf, rand};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{sync::Mutex, time::Instant};
use zeroize::Zeroizing;

use super::{
    ports::BoxError,
    seal::{ExportKey, KEY_BYTES, MasterKey, SealError, extracted, open_under, seal_under},
};

/// The name of the document with the export key.
const EXPORT: &str = "export";
/// A key is not rotated more often in all its life.
const MOST_GENERATIONS: usize = 1000;

/// A key that never leaves where it is, in one or more versions, and what it does for others.
pub trait KeyWrapper: Send + Sync {
    /// The version that wraps what is new.
    fn newest(&self) -> BoxFuture<'_, Result<String, WrapError>>;

    /// Wraps `key` by this version.
    fn wrap<'a>(&'a self, by: &'a str, key: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, WrapError>>;

    /// What this version wrapped.
    fn unwrap<'a>(
        &'a self,
        by: &'a str,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<Zeroizing<Vec<u8>>, WrapError>>;
}

/// Why a vault did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrapError {
    /// It will not, however often it is asked: the version is disabled or gone, or the right is missing.
    #[error("{0}")]
    Refused(String),
    /// It may in a moment.
    #[error("{0}")]
    Unavailable(String),
}

/// Where wrapped keys are kept: small documents by name, which are created and never changed.
pub trait Shelf: Send + Sync {
    /// The document; `None`: there is none.
    fn read<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, BoxError>>;

    /// Puts it there, durably. `false`: there is one of this name, and it stays.
    fn create<'a>(
        &'a self,
        name: &'a str,
        document: String,
    ) -> BoxFuture<'a, Result<bool, BoxError>>;
}

#[derive(Serialize, Deserialize)]
struct WrappedGeneration {
    /// The version of the vault's key.
    by: String,
    /// Root and master key, in base64.
    wrapped: String,
}

#[derive(Serialize, Deserialize)]
struct SealedExportKey {
    sealed: String,
}

/// How long what was unwrapped may be used.
#[derive(Clone, Copy, Debug)]
struct Terms {
    /// Without asking again.
    fresh: Duration,
    /// While the vault does not answer.
    limit: Duration,
    /// Between two questions to a vault that does not answer.
    pause: Duration,
    /// Before a key that nobody here knows is asked for: whoever names one must not make the vault be asked.
    unknown: Duration,
}

const TERMS: Terms = Terms {
    fresh: Duration::from_secs(15 * 60),
    limit: Duration::from_secs(60 * 60),
    pause: Duration::from_secs(30),
    unknown: Duration::from_secs(5),
};

/// All generations that open, oldest first, from one moment.
struct Unwrapped {
    generations: Vec<Generation>,
    at: Instant,
}

struct Generation {
    by: String,
    master: MasterKey,
}

/// The keys, unwrapped for a while.
pub(super) struct Ring {
    wrapper: Arc<dyn KeyWrapper>,
    shelf: Arc<dyn Shelf>,
    terms: Terms,
    root: Zeroizing<[u8; KEY_BYTES]>,
    unwrapped: RwLock<Option<Arc<Unwrapped>>>,
    /// Held by the one who asks the vault; when it was last asked.
    asked: Mutex<Instant>,
}

impl Ring {
    /// The ring kept on `shelf`, and made if there is none.
    pub(super) async fn open(
        wrapper: Arc<dyn KeyWrapper>,
        shelf: Arc<dyn Shelf>,
    ) -> Result<Self, SealError> {
        let mut root = None;
        let unwrapped = load(&*wrapper, &*shelf, &mut root).await?;
        let root = root.ok_or(SealError::Library("make a key"))?;
        Ok(Self {
            wrapper,
            shelf,
            terms: TERMS,
            root,
            asked: Mutex::new(unwrapped.at),
            unwrapped: RwLock::new(Some(Arc::new(unwrapped))),
        })
    }

    /// What pseudonyms, proofs and the export key come from.
    pub(super) fn root(&self) -> hkdf::Prk {
        extracted(&self.root)
    }

    /// Does `what` with the newest master key.
    pub(super) async fn with_newest<T>(
        &self,
        what: impl FnOnce(&MasterKey) -> Result<T, SealError>,
    ) -> Result<T, SealError> {
        let unwrapped = self.current().await?;
        let newest = unwrapped.generations.last();
        what(&newest.ok_or(SealError::Library("find a key"))?.master)
    }

    /// Does `what` with the master key of this name.
    pub(super) async fn with<T>(
        &self,
        id: &str,
        what: impl FnOnce(&MasterKey) -> Result<T, SealError>,
    ) -> Result<T, SealError> {
        let of = |unwrapped: &Unwrapped| {
            let mut all = unwrapped.generations.iter();
            all.position(|generation| generation.master.id() == id)
        };
        let mut unwrapped = self.current().await?;
        if of(&unwrapped).is_none() && unwrapped.at.elapsed() >= self.terms.unknown {
            // Another gateway may have seen a new version first.
            unwrapped = self.renewed(Some(unwrapped.at)).await?;
        }
        let found = of(&unwrapped).and_then(|at| unwrapped.generations.get(at));
        let found = found.ok_or_else(|| SealError::OtherKey {
            by: id.to_owned(),
            held: unwrapped.names(),
        })?;
        what(&found.master)
    }

    async fn current(&self) -> Result<Arc<Unwrapped>, SealError> {
        let Some(held) = self.held() else {
            return self.renewed(None).await;
        };
        if held.at.elapsed() < self.terms.fresh {
            return Ok(held);
        }
        if held.at.elapsed() >= self.terms.limit {
            return self.renewed(Some(held.at)).await;
        }
        // Nobody waits for the one who asks, and a vault that does not answer is not asked by everyone.
        match self.asked.try_lock() {
            Ok(asked) if asked.elapsed() >= self.terms.pause => {
                drop(asked);
                match self.renewed(Some(held.at)).await {
                    Err(SealError::Vault(error @ WrapError::Unavailable(_))) => {
                        tracing::warn!(%error, "the keys that seal are used for a while longer");
                        Ok(held)
                    }
                    done => done,
                }
            }
            _ => Ok(held),
        }
    }

    /// Asks the vault anew, unless someone did after `than`.
    async fn renewed(&self, than: Option<Instant>) -> Result<Arc<Unwrapped>, SealError> {
        let mut asked = self.asked.lock().await;
        if let Some(held) = self.held()
            && than.is_some_and(|than| held.at > than)
        {
            return Ok(held);
        }
        let mut root = Some(self.root.clone());
        let loaded = load(&*self.wrapper, &*self.shelf, &mut root).await;
        *asked = Instant::now();
        let mut held = self
            .unwrapped
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        match loaded {
            Ok(loaded) => Ok(held.insert(Arc::new(loaded)).clone()),
            Err(error) => {
                if !matches!(error, SealError::Vault(WrapError::Unavailable(_))) {
                    *held = None;
                }
                Err(error)
            }
        }
    }

    fn held(&self) -> Option<Arc<Unwrapped>> {
        let held = self
            .unwrapped
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        held.clone()
    }

    /// The key exports are signed with: the same for every gateway.
    pub(super) async fn export_key(&self) -> Result<ExportKey, SealError> {
        let root = self.root();
        loop {
            if let Some(SealedExportKey { sealed }) = read(&*self.shelf, EXPORT).await? {
                return ExportKey::from_pkcs8(&open_under(&root, EXPORT, &sealed)?);
            }
            let sealed = seal_under(&root, EXPORT, &ExportKey::generate()?)?;
            create(&*self.shelf, EXPORT, &SealedExportKey { sealed }).await?;
        }
    }
}

impl Unwrapped {
    fn names(&self) -> String {
        let names = self.generations.iter().map(|each| each.master.id());
        names.collect::<Vec<_>>().join("`, `")
    }
}

/// Unwraps every generation on `shelf`, and adds one if the vault has a newer version. `root`: the one that is known, if any.
async fn load(
    wrapper: &dyn KeyWrapper,
    shelf: &dyn Shelf,
    root: &mut Option<Zeroizing<[u8; KEY_BYTES]>>,
) -> Result<Unwrapped, SealError> {
    let at = Instant::now();
    let newest = wrapper.newest().await?;
    let mut generations = Vec::<Generation>::new();
    let (mut number, mut closed, mut made) = (1, None, false);
    loop {
        let name = number.to_string();
        let Some(document) = read::<WrappedGeneration>(shelf, &name).await? else {
            if generations.last().is_some_and(|last| last.by == newest) {
                return Ok(Unwrapped { generations, at });
            }
            // A root of one's own would give other pseudonyms than those on record, and one new generation is enough.
            if let Some(why) = closed.take_if(|_| made || root.is_none()) {
                return Err(WrapError::Refused(why).into());
            }
            if made || number > MOST_GENERATIONS {
                return Err(SealError::Unopened("ring of keys"));
            }
            made = true;
            // A new root is the root once it is read from there: someone else may be faster.
            let its_root = match &root {
                Some(root) => Zeroizing::clone(root),
                None => random()?,
            };
            let secret = Zeroizing::new([&its_root[..], &random()?[..]].concat());
            let wrapped = wrapper.wrap(&newest, &secret).await?;
            let document = WrappedGeneration {
                by: newest.clone(),
                wrapped: BASE64.encode(wrapped),
            };
            create(shelf, &name, &document).await?;
            continue;
        };
        number += 1;
        let bytes = BASE64.decode(&document.wrapped);
        let bytes = bytes.map_err(|_| SealError::Unopened("generation of keys"))?;
        let secret = match wrapper.unwrap(&document.by, &bytes).await {
            Err(WrapError::Refused(why)) => {
                tracing::warn!(generation = name, why, "sessions of these keys stay closed");
                closed = Some(why);
                continue;
            }
            done => done?,
        };
        let halves = secret.split_first_chunk::<KEY_BYTES>();
        let halves = halves.and_then(|(root, rest)| Some((root, rest.try_into().ok()?)));
        let Some((its_root, master)) = halves else {
            return Err(SealError::Unopened("generation of keys"));
        };
        if **root.get_or_insert_with(|| Zeroizing::new(*its_root)) != *its_root {
            tracing::error!(
                generation = name,
                by = document.by,
                "these keys were not made by a gateway of this record and are not used: find out who may create documents beside it"
            );
            continue;
        }
        generations.push(Generation {
            by: document.by,
            master: MasterKey::of("vault", master)?,
        });
    }
}

fn random() -> Result<Zeroizing<[u8; KEY_BYTES]>, SealError> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    rand::fill(key.as_mut()).map_err(|_| SealError::Library("make a key"))?;
    Ok(key)
}

async fn read<T: DeserializeOwned>(shelf: &dyn Shelf, name: &str) -> Result<Option<T>, SealError> {
    let found = shelf.read(name).await.map_err(beside_the_record)?;
    let found = found
        .map(|document| serde_json::from_str(&document))
        .transpose();
    found.map_err(|_| SealError::Unopened("document with keys"))
}

async fn create(shelf: &dyn Shelf, name: &str, document: &impl Serialize) -> Result<(), SealError> {
    let document =
        serde_json::to_string(document).map_err(|_| SealError::Library("write a key"))?;
    let created = shelf.create(name, document).await;
    created.map(drop).map_err(beside_the_record)
}

fn beside_the_record(error: BoxError) -> SealError {
    let mut why = format!("the keys beside the record cannot be reached: {error}");
    if let Some(source) = error.source() {
        why.push_str(&format!(": {source}"));
    }
    WrapError::Unavailable(why).into()
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        sync::{
            Mutex as Lock,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use super::*;
    use crate::{domain::id::SessionId, gateway::seal::Sealer};

    /// A vault of one key in memory. What it wraps is hidden from nobody here: what counts is who is asked, and when.
    #[derive(Default)]
    struct Vault {
        /// Each version, and whether it is enabled.
        versions: Lock<Vec<bool>>,
        down: Lock<bool>,
        asked: AtomicUsize,
    }

    impl Vault {
        fn new() -> Arc<Self> {
            let vault = Self::default();
            vault.rotate();
            Arc::new(vault)
        }

        fn rotate(&self) {
            self.versions.lock().unwrap().push(true);
        }

        fn disable(&self, version: usize) {
            self.versions.lock().unwrap()[version - 1] = false;
        }

        fn down(&self, down: bool) {
            *self.down.lock().unwrap() = down;
        }

        fn asked(&self) -> usize {
            self.asked.swap(0, Ordering::SeqCst)
        }

        fn answer<T>(&self, version: &str, answer: T) -> Result<T, WrapError> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            if *self.down.lock().unwrap() {
                return Err(WrapError::Unavailable("no answer".into()));
            }
            let number: usize = version.parse().unwrap();
            match self.versions.lock().unwrap()[number - 1] {
                true => Ok(answer),
                false => Err(WrapError::Refused(format!("version {version} is disabled"))),
            }
        }
    }

    impl KeyWrapper for Vault {
        fn newest(&self) -> BoxFuture<'_, Result<String, WrapError>> {
            let newest = self.versions.lock().unwrap().len().to_string();
            Box::pin(async move { self.answer(&newest, newest.clone()) })
        }

        fn wrap<'a>(
            &'a self,
            by: &'a str,
            key: &'a [u8],
        ) -> BoxFuture<'a, Result<Vec<u8>, WrapError>> {
            Box::pin(async move { self.answer(by, [by.as_bytes(), key].concat()) })
        }

        fn unwrap<'a>(
            &'a self,
            by: &'a str,
            wrapped: &'a [u8],
        ) -> BoxFuture<'a, Result<Zeroizing<Vec<u8>>, WrapError>> {
            let key = wrapped.strip_prefix(by.as_bytes()).unwrap();
            Box::pin(async move { self.answer(by, Zeroizing::new(key.to_vec())) })
        }
    }

    #[derive(Default)]
    struct Documents(Lock<BTreeMap<String, String>>);

    impl Shelf for Documents {
        fn read<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, BoxError>> {
            Box::pin(async move {
                tokio::task::yield_now().await;
                Ok(self.0.lock().unwrap().get(name).cloned())
            })
        }

        fn create<'a>(
            &'a self,
            name: &'a str,
            document: String,
        ) -> BoxFuture<'a, Result<bool, BoxError>> {
            Box::pin(async move {
                tokio::task::yield_now().await;
                let mut all = self.0.lock().unwrap();
                let is_free = !all.contains_key(name);
                all.entry(name.to_owned()).or_insert(document);
                Ok(is_free)
            })
        }
    }

    async fn gateway(vault: &Arc<Vault>, shelf: &Arc<Documents>) -> (Sealer, ExportKey) {
        let (vault, shelf) = (Arc::clone(vault), Arc::clone(shelf));
        Sealer::shared(vault, shelf).await.unwrap()
    }

    async fn ring(vault: &Arc<Vault>, shelf: &Arc<Documents>, terms: Terms) -> Ring {
        let (vault, shelf) = (Arc::clone(vault), Arc::clone(shelf));
        let ring = Ring::open(vault, shelf).await.unwrap();
        Ring { terms, ..ring }
    }

    fn session(of: u8) -> SessionId {
        SessionId::new([of; 16])
    }

    fn terms(fresh: u64, limit: u64) -> Terms {
        Terms {
            fresh: Duration::from_millis(fresh),
            limit: Duration::from_millis(limit),
            pause: Duration::ZERO,
            unknown: Duration::ZERO,
        }
    }

    async fn newest(ring: &Ring) -> Result<String, SealError> {
        ring.with_newest(|master| Ok(master.id().to_owned())).await
    }

    #[tokio::test]
    async fn gateways_that_start_at_once_have_the_same_keys_and_ask_the_vault_once_each() {
        let (vault, shelf) = (Vault::new(), Arc::default());
        let (one, other) = tokio::join!(gateway(&vault, &shelf), gateway(&vault, &shelf));
        assert_eq!(one.1.fingerprint(), other.1.fingerprint());
        assert_eq!(one.0.masking_key().unwrap(), other.0.masking_key().unwrap());
        vault.asked();
        for of in 0..20 {
            let made = one.0.new_session_key(&session(of), [[of; 16]; 2]).await;
            let (_, wrapped) = made.unwrap();
            other.0.unwrap(&session(of), &wrapped).await.unwrap();
        }
        assert_eq!(vault.asked(), 0);
    }

    #[tokio::test]
    async fn a_new_version_wraps_what_is_new_and_the_old_one_opens_what_it_wrapped() {
        let (vault, shelf) = (Vault::new(), Arc::default());
        let (first_gateway, export) = gateway(&vault, &shelf).await;
        let eager = Terms {
            unknown: Duration::ZERO,
            ..TERMS
        };
        let (before, patient) = (
            ring(&vault, &shelf, eager).await,
            ring(&vault, &shelf, TERMS).await,
        );
        let made =
            |of: u8| move |master: &MasterKey| master.new_session_key(&session(of), [[1; 16]; 2]);
        let (_, first) = before.with_newest(made(1)).await.unwrap();
        vault.rotate();
        let (after, export_after) = gateway(&vault, &shelf).await;
        let second = after.new_session_key(&session(2), [[1; 16]; 2]).await;
        let (_, second) = second.unwrap();
        assert_ne!(first.by, second.by);
        after.unwrap(&session(1), &first).await.unwrap();
        // One that has not heard of the rotation asks, and then knows; but not each time that someone names a key.
        let open = |master: &MasterKey| master.unwrap(&session(2), &second);
        vault.asked();
        patient.with(&second.by, open).await.unwrap_err();
        assert_eq!(vault.asked(), 0);
        before.with(&second.by, open).await.unwrap();
        let (_, third) = before.with_newest(made(3)).await.unwrap();
        assert_eq!(third.by, second.by);
        // What lasts is the same before and after.
        assert_eq!(
            first_gateway.masking_key().unwrap(),
            after.masking_key().unwrap()
        );
        assert_eq!(export.fingerprint(), export_after.fingerprint());
        // A version that is withdrawn closes its own sessions and no other.
        vault.disable(1);
        let (third, _) = gateway(&vault, &shelf).await;
        third.unwrap(&session(2), &second).await.unwrap();
        let closed = third.unwrap(&session(1), &first).await;
        assert!(
            matches!(closed, Err(SealError::OtherKey { .. })),
            "{closed:?}"
        );
        assert_eq!(third.masking_key().unwrap(), after.masking_key().unwrap());
    }

    #[tokio::test]
    async fn a_vault_that_refuses_ends_it_at_once_and_one_that_is_down_when_the_time_is_up() {
        let (vault, shelf) = (Vault::new(), Arc::default());
        let ring = ring(&vault, &shelf, terms(0, 200)).await;
        let id = newest(&ring).await.unwrap();
        vault.down(true);
        assert_eq!(newest(&ring).await.unwrap(), id);
        tokio::time::sleep(Duration::from_millis(210)).await;
        let late = newest(&ring).await;
        assert!(matches!(
            late,
            Err(SealError::Vault(WrapError::Unavailable(_)))
        ));
        assert!(
            !late.unwrap_err().to_string().contains("no answer"),
            "it is for the log"
        );
        vault.down(false);
        assert_eq!(newest(&ring).await.unwrap(), id);
        vault.disable(1);
        for _ in 0..2 {
            let refused = newest(&ring).await;
            assert!(matches!(
                refused,
                Err(SealError::Vault(WrapError::Refused(_)))
            ));
        }
    }

    #[tokio::test]
    async fn a_vault_that_is_down_is_not_asked_by_every_caller() {
        let (vault, shelf) = (Vault::new(), Arc::default());
        let patient = Terms {
            pause: Duration::from_secs(60),
            ..terms(0, 60_000)
        };
        let ring = ring(&vault, &shelf, patient).await;
        vault.down(true);
        vault.asked();
        for _ in 0..50 {
            newest(&ring).await.unwrap();
        }
        assert!(vault.asked() <= 1);
    }

    #[tokio::test]
    async fn keys_that_someone_else_put_there_are_not_used() {
        let (vault, shelf) = (Vault::new(), Arc::<Documents>::default());
        let (ours, _) = gateway(&vault, &shelf).await;
        // Whoever may create documents has made a generation whose keys they know, before the gateways saw the new version.
        vault.rotate();
        let (theirs, elsewhere) = (Vault::new(), Arc::<Documents>::default());
        theirs.rotate();
        gateway(&theirs, &elsewhere).await;
        let forged = elsewhere.0.lock().unwrap()["1"].clone();
        shelf.0.lock().unwrap().insert("2".into(), forged);
        let (after, _) = gateway(&vault, &shelf).await;
        assert_eq!(after.masking_key().unwrap(), ours.masking_key().unwrap());
        let made = after.new_session_key(&session(1), [[1; 16]; 2]).await;
        let (_, wrapped) = made.unwrap();
        let (other, _) = gateway(&vault, &shelf).await;
        other.unwrap(&session(1), &wrapped).await.unwrap();
        assert!(shelf.0.lock().unwrap().contains_key("3"));
    }

    #[tokio::test]
    async fn a_gateway_that_can_open_no_keys_makes_none_of_its_own() {
        let (vault, shelf) = (Vault::new(), Arc::<Documents>::default());
        gateway(&vault, &shelf).await;
        let known = shelf.0.lock().unwrap().len();
        vault.rotate();
        vault.disable(1);
        let closed = Ring::open(vault, Arc::clone(&shelf) as _).await.err();
        assert!(matches!(
            closed,
            Some(SealError::Vault(WrapError::Refused(_)))
        ));
        assert_eq!(shelf.0.lock().unwrap().len(), known);
    }
}
