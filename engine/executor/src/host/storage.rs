//! Storage, transient storage, logs.

use std::sync::Arc;

use millrace_jit::{Ecall, Flow, TrapKind};
use millrace_types::state::{Path, storage_path};
use millrace_types::{Hash, Log};

use super::{NONE, Step, charge_words, check_readable, check_writable, read, read_amount, write};
use crate::frame::Frame;
use crate::gas::per_word;
use crate::journal::NoCounter;
use crate::trace::HostEvent;

/// Length of a counter's value.
const COUNTER_BYTES: u64 = 16;

/// What a log counts against `log_bytes` beside its topics and data: its address.
const LOG_ADDRESS_BYTES: u64 = 32;

impl Frame<'_, '_> {
    pub(super) fn storage_get(&mut self, call: &mut Ecall<'_>) -> Step {
        let [key, key_len, dst, cap, ..] = call.args;
        let copy = self.schedule().context;
        call.charge(copy.base)?;
        self.check_key(call, key, key_len)?;
        check_writable(call, dst, cap)?;
        charge_words(call, copy, cap)?;
        let path = self.access_slot(call, key, key_len)?;
        let value = self.execution.journal.slot(&path);
        let value = self.or_abandon(value)?;
        let value = value.as_deref();
        self.tell(call, |call| {
            let key = read(call, key, key_len)?;
            Ok(HostEvent::StorageRead { key, value })
        })?;
        answer(call, value, dst, cap)
    }

    pub(super) fn storage_set(&mut self, call: &mut Ecall<'_>) -> Step {
        let [key, key_len, pointer, len, ..] = call.args;
        let price = self.schedule().storage_write;
        call.charge(price.base)?;
        self.check_key(call, key, key_len)?;
        self.check_value(call, pointer, len)?;
        charge_words(call, price, len)?;
        let path = self.access_slot(call, key, key_len)?;
        self.execution.count_entry()?;
        let value = read(call, pointer, len)?;
        self.tell_written(call, (key, key_len), &path, Some(value))?;
        let value = Arc::from(value);
        self.execution.journal.set_slot(path, Some(value));
        Ok(())
    }

    pub(super) fn storage_remove(&mut self, call: &mut Ecall<'_>) -> Step {
        let [key, key_len, ..] = call.args;
        call.charge(self.schedule().storage_write.base)?;
        self.check_key(call, key, key_len)?;
        let path = self.access_slot(call, key, key_len)?;
        self.execution.count_entry()?;
        self.tell_written(call, (key, key_len), &path, None)?;
        self.execution.journal.set_slot(path, None);
        Ok(())
    }

    pub(super) fn counter_add(&mut self, call: &mut Ecall<'_>) -> Step {
        let [key, key_len, amount, ..] = call.args;
        let price = self.schedule().storage_write;
        call.charge(price.base)?;
        self.check_key(call, key, key_len)?;
        let amount = read_amount(call, amount)?;
        charge_words(call, price, COUNTER_BYTES)?;
        let path = self.access_slot(call, key, key_len)?;
        self.execution.count_entry()?;
        let added = self.execution.journal.add(path, amount);
        self.or_abandon(added)?.map_err(|reason| {
            Flow::Trap(TrapKind::Host(match reason {
                NoCounter::OtherValue => "counter_add: the slot holds other than 16 bytes",
                NoCounter::Overflow => "counter_add: the sum is 2^128 or more",
            }))
        })?;
        self.tell(call, |call| {
            let key = read(call, key, key_len)?;
            Ok(HostEvent::CounterAdded { key, amount })
        })
    }

    pub(super) fn transient_get(&mut self, call: &mut Ecall<'_>) -> Step {
        let [key, key_len, dst, cap, ..] = call.args;
        let schedule = self.schedule();
        call.charge(schedule.transient.base)?;
        self.check_key(call, key, key_len)?;
        check_writable(call, dst, cap)?;
        call.charge(per_word(schedule.key_word, key_len))?;
        charge_words(call, schedule.context, cap)?;
        let value = self
            .execution
            .journal
            .transient(self.contract, read(call, key, key_len)?);
        let value = value.as_deref();
        self.tell(call, |call| {
            let key = read(call, key, key_len)?;
            Ok(HostEvent::TransientRead { key, value })
        })?;
        answer(call, value, dst, cap)
    }

    pub(super) fn transient_set(&mut self, call: &mut Ecall<'_>) -> Step {
        let [key, key_len, pointer, len, ..] = call.args;
        let schedule = self.schedule();
        call.charge(schedule.transient.base)?;
        self.check_key(call, key, key_len)?;
        self.check_value(call, pointer, len)?;
        call.charge(per_word(schedule.key_word, key_len))?;
        charge_words(call, schedule.transient, len)?;
        self.execution.count_entry()?;
        let (value, key) = (read(call, pointer, len)?, read(call, key, key_len)?);
        let after = Some(value);
        self.tell(call, |_| Ok(HostEvent::TransientWritten { key, after }))?;
        self.execution
            .journal
            .set_transient(self.contract, key, Some(Arc::from(value)));
        Ok(())
    }

    pub(super) fn transient_remove(&mut self, call: &mut Ecall<'_>) -> Step {
        let [key, key_len, ..] = call.args;
        let schedule = self.schedule();
        call.charge(schedule.transient.base)?;
        self.check_key(call, key, key_len)?;
        call.charge(per_word(schedule.key_word, key_len))?;
        self.execution.count_entry()?;
        let key = read(call, key, key_len)?;
        self.tell(call, |_| Ok(HostEvent::TransientWritten { key, after: None }))?;
        self.execution.journal.set_transient(self.contract, key, None);
        Ok(())
    }

    pub(super) fn log(&mut self, call: &mut Ecall<'_>) -> Step {
        let [topics, topic_count, data, data_len, ..] = call.args;
        let price = self.schedule().log;
        call.charge(price.base)?;
        if topic_count > self.schedule().log_topics {
            return Err(Flow::Trap(TrapKind::Host(
                "log_topics: the limit of a log's topics",
            )));
        }
        let topics_len = 32 * topic_count;
        check_readable(call, topics, topics_len)?;
        check_readable(call, data, data_len)?;
        let bytes = LOG_ADDRESS_BYTES + topics_len + data_len;
        let limit = u64::from(self.execution.rules.limits.log_bytes);
        if self.execution.journal.log_bytes() + bytes > limit {
            return Err(Flow::Trap(TrapKind::Host(
                "log_bytes: the transaction's limit of log bytes",
            )));
        }
        charge_words(call, price, topics_len + data_len)?;
        self.execution.count_entry()?;
        let topics = read(call, topics, topics_len)?.chunks_exact(32);
        let topics: Vec<_> = topics
            .map(|topic| Hash(topic.try_into().expect("chunks of 32 bytes")))
            .collect();
        let data = read(call, data, data_len)?;
        let event = HostEvent::Log {
            topics: &topics,
            data,
        };
        self.tell(call, |_| Ok(event))?;
        let data = data.to_vec();
        self.execution.journal.log(
            Log {
                address: self.contract,
                topics,
                data,
            },
            bytes,
        );
        Ok(())
    }

    /// Tells the tracer what a slot is going to hold.
    fn tell_written(
        &mut self,
        call: &Ecall<'_>,
        (key, key_len): (u64, u64),
        path: &Path,
        after: Option<&[u8]>,
    ) -> Step {
        if self.execution.rules.tracer.is_none() {
            return Ok(());
        }
        // To read it costs nobody anything: the contract has paid for the access, and sees nothing of this.
        let before = self.execution.journal.slot(path);
        let before = self.or_abandon(before)?;
        let (before, key) = (before.as_deref(), read(call, key, key_len)?);
        self.tell(call, |_| Ok(HostEvent::StorageWritten { key, before, after }))
    }

    /// Checks a key's length and range.
    fn check_key(&self, call: &Ecall<'_>, key: u64, key_len: u64) -> Step {
        if key_len > self.schedule().key_bytes {
            return Err(Flow::Trap(TrapKind::Host(
                "key_bytes: the limit of a storage key",
            )));
        }
        check_readable(call, key, key_len)
    }

    /// Checks a value's length and range.
    fn check_value(&self, call: &Ecall<'_>, pointer: u64, len: u64) -> Step {
        if len > self.schedule().value_bytes {
            return Err(Flow::Trap(TrapKind::Host(
                "value_bytes: the limit of a storage value",
            )));
        }
        check_readable(call, pointer, len)
    }

    /// Charges the key and the access to its slot, and gives the slot's path.
    fn access_slot(&mut self, call: &mut Ecall<'_>, key: u64, key_len: u64) -> Step<Path> {
        call.charge(per_word(self.schedule().key_word, key_len))?;
        let path = storage_path(&self.contract, read(call, key, key_len)?);
        let cold = self.execution.journal.warm_slot(&path);
        self.charge_access(call, cold)?;
        Ok(path)
    }
}

/// Copies as much of a slot's value as there is room for, and answers its whole length.
fn answer(call: &mut Ecall<'_>, value: Option<&[u8]>, dst: u64, cap: u64) -> Step {
    let Some(value) = value else {
        call.results[0] = NONE;
        return Ok(());
    };
    let count = usize::try_from(cap).unwrap_or(usize::MAX).min(value.len());
    write(call, dst, &value[..count])?;
    call.results[0] = value.len() as u64;
    Ok(())
}
