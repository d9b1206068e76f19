//! Hashes and signatures.

use ed25519_zebra::{Signature, VerificationKey};
use millrace_jit::Ecall;
use sha2::Sha256;
use sha3::{Digest, Keccak256};

use super::{Step, charge_words, check_readable, check_writable, read, read_array, write};
use crate::frame::Frame;
use crate::gas::Price;

impl Frame<'_, '_> {
    pub(super) fn blake3(&mut self, call: &mut Ecall<'_>) -> Step {
        hash(call, self.schedule().blake3, |bytes| {
            *blake3::hash(bytes).as_bytes()
        })
    }

    pub(super) fn sha256(&mut self, call: &mut Ecall<'_>) -> Step {
        hash(call, self.schedule().sha256, |bytes| Sha256::digest(bytes).into())
    }

    pub(super) fn keccak256(&mut self, call: &mut Ecall<'_>) -> Step {
        hash(call, self.schedule().keccak256, |bytes| {
            Keccak256::digest(bytes).into()
        })
    }

    pub(super) fn ed25519_verify(&mut self, call: &mut Ecall<'_>) -> Step {
        let [public_key, pointer, len, signature, ..] = call.args;
        let price = self.schedule().ed25519_verify;
        call.charge(price.base)?;
        let public_key: [u8; 32] = read_array(call, public_key)?;
        let signature: [u8; 64] = read_array(call, signature)?;
        check_readable(call, pointer, len)?;
        charge_words(call, price, len)?;
        let message = read(call, pointer, len)?;
        let valid = VerificationKey::try_from(public_key)
            .and_then(|key| key.verify(&Signature::from(signature), message))
            .is_ok();
        call.results[0] = u64::from(valid);
        Ok(())
    }
}

/// Hashes a range to `a2`. The ranges may overlap: all is read before anything is written.
fn hash(call: &mut Ecall<'_>, price: Price, digest: impl FnOnce(&[u8]) -> [u8; 32]) -> Step {
    let [pointer, len, dst, ..] = call.args;
    call.charge(price.base)?;
    check_readable(call, pointer, len)?;
    check_writable(call, dst, 32)?;
    charge_words(call, price, len)?;
    let digest = digest(read(call, pointer, len)?);
    write(call, dst, &digest)
}
