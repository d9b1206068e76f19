//! Ed25519 keys and signatures, valid by the rules of ZIP-215.
//!
//! ZIP-215 fixes the corners in which Ed25519 libraries differ (non-canonical points are taken, scalars must be
//! reduced, the equation is multiplied by the cofactor), so that all nodes agree, and so that checking many
//! signatures at once agrees with checking each.

use core::str::FromStr;

use ed25519_zebra::{Signature, SigningKey, VerificationKey, VerificationKeyBytes, batch};
use zeroize::Zeroize as _;

use crate::hex::{self, HexError};
use crate::{Address, Hash, SignedTransaction};

/// Why a signature does not count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SignatureError {
    /// The public key is no point of the curve, so nobody can sign with it.
    #[error("the public key is no point of the curve")]
    PublicKey,
    /// The signature is not one of this key over this message.
    #[error("the signature is not valid for the message and the public key")]
    Signature,
}

/// Which signature of a batch does not count, the first of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("signature {index} of the batch: {error}")]
pub struct BatchSignatureError {
    /// Its position.
    pub index: usize,
    /// Why.
    pub error: SignatureError,
}

/// A secret key: 32 bytes from a good source of randomness. Overwritten when dropped; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The key whose seed (RFC 8032's private key) is `seed`.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from(seed))
    }

    /// The seed, to be written where only its owner reads it.
    #[must_use]
    pub fn to_seed(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The key that others verify with.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey(VerificationKeyBytes::from(&self.0).into())
    }

    /// The account that the key controls.
    #[must_use]
    pub fn address(&self) -> Address {
        self.public_key().address()
    }

    /// Signs a hash.
    #[must_use]
    pub fn sign(&self, message: &Hash) -> [u8; 64] {
        self.0.sign(&message.0).to_bytes()
    }
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl FromStr for SecretKey {
    type Err = HexError;
    fn from_str(text: &str) -> Result<Self, HexError> {
        let mut seed = hex::parse_array(text)?;
        let key = Self::from_seed(seed);
        seed.zeroize();
        Ok(key)
    }
}

impl core::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SecretKey of {}", self.public_key())
    }
}

/// A public key, as encoded; it may turn out to be no point of the curve.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// The account that the key controls.
    #[must_use]
    pub fn address(&self) -> Address {
        Address::of_key(&self.0)
    }

    /// Checks a signature over a hash by ZIP-215.
    ///
    /// # Errors
    /// If key or signature do not count.
    pub fn verify(&self, message: &Hash, signature: &[u8; 64]) -> Result<(), SignatureError> {
        let key = VerificationKey::try_from(self.0).map_err(|_| SignatureError::PublicKey)?;
        key.verify(&Signature::from_bytes(signature), &message.0)
            .map_err(|_| SignatureError::Signature)
    }
}

impl FromStr for PublicKey {
    type Err = HexError;
    fn from_str(text: &str) -> Result<Self, HexError> {
        hex::parse_array(text).map(Self)
    }
}

impl core::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        hex::write(f, &self.0)
    }
}

impl core::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

/// Checks the signatures of many transactions, about twice as fast as one by one.
///
/// The answer is that of [`SignedTransaction::verify`] on each, but for a chance of 2^-128. The coefficients of
/// the batch come from a hash of the whole batch, so a sender who could choose a bad batch that passes would have
/// to find it by that much work, and no source of randomness is needed.
///
/// # Errors
/// The first signature that does not count.
pub fn verify_batch<'a, I>(transactions: I) -> Result<(), BatchSignatureError>
where
    I: IntoIterator<Item = &'a SignedTransaction> + Clone,
{
    let mut batch = batch::Verifier::new();
    let mut transcript = blake3::Hasher::new();
    for signed in transactions.clone() {
        let message = signed.transaction.signing_hash();
        for part in [&message.0[..], &signed.transaction.public_key, &signed.signature] {
            transcript.update(part);
        }
        let key = VerificationKeyBytes::from(signed.transaction.public_key);
        batch.queue((key, Signature::from_bytes(&signed.signature), &message.0));
    }
    if batch.verify(Coefficients(transcript.finalize_xof())).is_ok() {
        return Ok(());
    }
    for (index, signed) in transactions.into_iter().enumerate() {
        signed
            .verify()
            .map_err(|error| BatchSignatureError { index, error })?;
    }
    Ok(())
}

/// The batch's coefficients as the library asks for them: a stream of bytes.
struct Coefficients(blake3::OutputReader);

impl rand_core::RngCore for Coefficients {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }
    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }
    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl rand_core::CryptoRng for Coefficients {}
