//! Signatures: RFC 8032, the corners that ZIP-215 settles, batches.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use millrace_types::keys::{BatchSignatureError, verify_batch};
use millrace_types::{Hash, PublicKey, SecretKey, SignatureError, SignedTransaction};
use proptest::prelude::*;

#[test]
fn rfc_8032_keys() {
    let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let public = "0xd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let key: SecretKey = seed.parse().unwrap();
    assert_eq!(key.public_key().to_string(), public);
    assert_eq!(key.public_key(), public.parse().unwrap());
    assert_eq!(SecretKey::from_seed(key.to_seed()), key);
    assert!(!format!("{key:?}").contains("9d61"), "a secret is printed");
}

#[test]
fn signing_makes_the_signer_the_sender() {
    let mut unsigned = transaction(payloads()[0].clone());
    unsigned.public_key = [0; 32];
    let signed = unsigned.sign(&key());
    assert_eq!(signed.sender(), key().address());
    assert_eq!(signed.verify(), Ok(()));
}

#[test]
fn any_changed_byte_breaks_the_signature() {
    let signed = signed(payloads()[2].clone());
    let bytes = borsh::to_vec(&signed).unwrap();
    for at in 0..bytes.len() {
        for bit in [0x01, 0x80] {
            let mut bytes = bytes.clone();
            bytes[at] ^= bit;
            if let Ok(changed) = borsh::from_slice::<SignedTransaction>(&bytes) {
                assert!(changed.verify().is_err(), "byte {at}");
            }
        }
    }
}

/// Encodings of the eight points of small order, the non-canonical ones included, by the bytes that differ.
fn small_order_points() -> Vec<[u8; 32]> {
    let of_order_eight = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05";
    let mut points = vec![[0; 32], [0; 32]];
    points[1][0] = 1;
    points.push(millrace_types::hex::parse_array(of_order_eight).unwrap());
    // p - 1, p and p + 1: the last two are not reduced, which ZIP-215 takes.
    for last in [0xec, 0xed, 0xee] {
        let mut point = [0xff; 32];
        point[0] = last;
        point[31] = 0x7f;
        points.push(point);
    }
    points
        .iter()
        .flat_map(|point| [0, 0x80].map(|sign| [&point[..31], &[point[31] | sign]].concat()))
        .map(|point| point.try_into().unwrap())
        .collect()
}

#[test]
fn zip_215_takes_small_order_points_whatever_the_message() {
    for key in small_order_points() {
        for commitment in small_order_points() {
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&commitment);
            for message in [Hash::ZERO, hash(0xab)] {
                assert_eq!(
                    PublicKey(key).verify(&message, &signature),
                    Ok(()),
                    "{key:02x?} {commitment:02x?}"
                );
            }
        }
    }
}

#[test]
fn zip_215_refuses_scalars_that_are_not_reduced_and_keys_off_the_curve() {
    // The order of the group: the scalar zero, not reduced.
    let order: [u8; 32] =
        millrace_types::hex::parse_array("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
            .unwrap();
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&identity);
    signature[32..].copy_from_slice(&order);
    assert_eq!(
        PublicKey(identity).verify(&Hash::ZERO, &signature),
        Err(SignatureError::Signature)
    );

    let off_the_curve = (0..=255)
        .map(|byte| PublicKey([byte; 32]))
        .find(|key| key.verify(&Hash::ZERO, &[0; 64]) == Err(SignatureError::PublicKey));
    assert!(off_the_curve.is_some());
}

#[test]
fn a_batch_names_its_first_bad_signature() {
    let mut batch = transactions(20);
    assert_eq!(verify_batch(&batch), Ok(()));
    assert_eq!(verify_batch(&[]), Ok(()));
    batch[7].signature[3] ^= 1;
    batch[12].transaction.nonce += 1;
    assert_eq!(
        verify_batch(&batch),
        Err(BatchSignatureError {
            index: 7,
            error: SignatureError::Signature
        })
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn batches_agree_with_single_checks(
        count in 1_u64..8,
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..64, 0_u8..8), 0..3),
        small_order in any::<bool>(),
    ) {
        let mut batch = transactions(count);
        for (which, byte, bit) in flips {
            which.get_mut(&mut batch).signature[byte] ^= 1 << bit;
        }
        if small_order {
            batch[0].transaction.public_key = small_order_points()[4];
            batch[0].signature = [0; 64];
        }
        let singly = batch.iter().enumerate().find_map(|(index, signed)| {
            signed.verify().err().map(|error| BatchSignatureError { index, error })
        });
        prop_assert_eq!(verify_batch(&batch).err(), singly);
    }
}
