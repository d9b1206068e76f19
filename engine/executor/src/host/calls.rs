//! Balances, transfers, and contracts that run or create contracts.

use millrace_jit::{Ecall, Flow, TrapKind};
use millrace_types::state::code_hash;
use millrace_types::{Address, Amount, Gas};

use super::{
    Step, charge_words, check_readable, check_writable, read, read_address, read_amount, read_array, status,
    write,
};
use crate::create::{Creation, create_contract};
use crate::execution::NoProgram;
use crate::frame::{CallKind, Frame, FrameEnd, FrameRequest, FrameResult, run_frame, unpaid_frame};
use crate::program_cache::Code;
use crate::trace::HostEvent;

/// The fields of a request in memory, in order.
struct Fields<'b>(&'b [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.0.split_first_chunk().expect("a request has all its fields");
        self.0 = rest;
        *field
    }

    fn word(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}

/// `call`'s request, 80 bytes.
struct CallRequest {
    to: Address,
    value: Amount,
    gas: Gas,
    input: (u64, u64),
}

impl CallRequest {
    fn read(call: &Ecall<'_>, pointer: u64) -> Step<Self> {
        let bytes: [u8; 80] = read_array(call, pointer)?;
        let mut fields = Fields(&bytes);
        let to = Address(fields.take());
        let value = Amount::from_le_bytes(fields.take());
        let gas = fields.word();
        let input = (fields.word(), fields.word());
        check_reserved(fields.word())?;
        Ok(Self {
            to,
            value,
            gas,
            input,
        })
    }
}

/// `create`'s request, 64 bytes.
struct CreateRequest {
    value: Amount,
    gas: Gas,
    code: (u64, u64),
    input: (u64, u64),
}

impl CreateRequest {
    fn read(call: &Ecall<'_>, pointer: u64) -> Step<Self> {
        let bytes: [u8; 64] = read_array(call, pointer)?;
        let mut fields = Fields(&bytes);
        let value = Amount::from_le_bytes(fields.take());
        let gas = fields.word();
        let code = (fields.word(), fields.word());
        let input = (fields.word(), fields.word());
        check_reserved(fields.word())?;
        Ok(Self {
            value,
            gas,
            code,
            input,
        })
    }
}

fn check_reserved(word: u64) -> Step {
    if word == 0 {
        Ok(())
    } else {
        Err(Flow::Trap(TrapKind::Host(
            "the reserved word of a request is not zero",
        )))
    }
}

impl Frame<'_, '_> {
    pub(super) fn balance(&mut self, call: &mut Ecall<'_>) -> Step {
        let [address, dst, ..] = call.args;
        call.charge(self.schedule().context.base)?;
        let address = read_address(call, address)?;
        check_writable(call, dst, 16)?;
        self.access_account(call, &address)?;
        let balance = self.execution.journal.balance(&address);
        let balance = self.or_abandon(balance)?;
        write(call, dst, &balance.to_le_bytes())
    }

    pub(super) fn transfer(&mut self, call: &mut Ecall<'_>) -> Step {
        let [to, value, ..] = call.args;
        call.charge(self.schedule().transfer)?;
        let to = read_address(call, to)?;
        let value = read_amount(call, value)?;
        self.access_account(call, &to)?;
        self.execution.count_entry()?;
        let moved = self.execution.journal.transfer(&self.contract, &to, value);
        let moved = self.or_abandon(moved)?;
        self.tell(call, |_| Ok(HostEvent::Transfer { to, value, moved }))?;
        call.results[0] = if moved {
            status::SUCCESS
        } else {
            status::INSUFFICIENT_BALANCE
        };
        Ok(())
    }

    pub(super) fn call(&mut self, call: &mut Ecall<'_>) -> Step {
        let price = self.schedule().call;
        call.charge(price.base)?;
        let request = CallRequest::read(call, call.args[0])?;
        check_readable(call, request.input.0, request.input.1)?;
        charge_words(call, price, request.input.1)?;
        self.charge_value(call, request.value)?;
        self.access_account(call, &request.to)?;
        let gas = self.forwarded(call, request.gas);
        let result = match self.callee(&request, gas)? {
            Ok(Some(code)) => Ok(self.run_callee(call, &request, code, gas)?),
            Ok(None) => {
                let status = status::TRAPPED;
                let to = Some(request.to);
                self.tell(call, |_| Ok(HostEvent::Refused { to, status }))?;
                Ok(unpaid_frame(self.execution, request.to, self.depth + 1, gas))
            }
            Err(status) => Err(status),
        };
        self.tell_refused(call, Some(request.to), &result)?;
        self.finish_call(call, result)
    }

    /// Tells the tracer of a call or a creation that came to no frame.
    fn tell_refused(&self, call: &Ecall<'_>, to: Option<Address>, result: &Result<FrameResult, u64>) -> Step {
        match *result {
            Ok(_) => Ok(()),
            Err(status) => self.tell(call, |_| Ok(HostEvent::Refused { to, status })),
        }
    }

    /// The code to run, none if `gas` does not cover its first run, or the status that says why there is none to run.
    fn callee(&mut self, request: &CallRequest, gas: Gas) -> Step<Result<Option<Code>, u64>> {
        if !self.covers(request.value)? {
            return Ok(Err(status::INSUFFICIENT_BALANCE));
        }
        if self.is_deepest() {
            return Ok(Err(status::CALL_DEPTH));
        }
        let code_hash = self.execution.journal.code_hash(&request.to);
        let Some(code_hash) = self.or_abandon(code_hash)? else {
            return Ok(Err(status::NO_CODE));
        };
        let program = self.execution.program(&code_hash, gas);
        Ok(match self.or_abandon(program)? {
            Ok(code) => Ok(Some(code)),
            Err(NoProgram::Unpaid) => Ok(None),
            Err(NoProgram::Invalid(_)) => Err(status::INVALID_PROGRAM),
        })
    }

    fn run_callee(
        &mut self,
        call: &Ecall<'_>,
        request: &CallRequest,
        code: Code,
        gas: Gas,
    ) -> Step<FrameResult> {
        let input = read(call, request.input.0, request.input.1)?.to_vec();
        let checkpoint = self.execution.journal.checkpoint();
        let moved = self
            .execution
            .journal
            .transfer(&self.contract, &request.to, request.value);
        let moved = self.or_abandon(moved)?;
        debug_assert!(moved, "the balance was checked");
        let frame = FrameRequest {
            kind: CallKind::Call,
            code,
            contract: request.to,
            caller: self.contract,
            value: request.value,
            input,
            gas,
            depth: self.depth + 1,
        };
        let result = run_frame(self.execution, checkpoint, frame);
        self.or_abandon(result)
    }

    pub(super) fn create(&mut self, call: &mut Ecall<'_>) -> Step {
        let [request, dst, ..] = call.args;
        let schedule = self.schedule();
        call.charge(schedule.deploy.base)?;
        let request = CreateRequest::read(call, request)?;
        check_writable(call, dst, 32)?;
        check_readable(call, request.code.0, request.code.1)?;
        check_readable(call, request.input.0, request.input.1)?;
        charge_words(call, schedule.deploy, request.code.1)?;
        charge_words(call, schedule.call, request.input.1)?;
        self.charge_value(call, request.value)?;
        self.execution.count_entry()?;
        let (address, result) = self.create_checked(call, &request)?;
        let created = matches!(
            &result,
            Ok(FrameResult {
                end: FrameEnd::Returned,
                ..
            })
        );
        let to = Some(address).filter(|address| *address != Address::default());
        self.tell_refused(call, to, &result)?;
        self.finish_call(call, result)?;
        if created {
            write(call, dst, &address.0)
        } else {
            Ok(())
        }
    }

    /// The new contract's address and what its initialiser came to, or the status that says why it did not run.
    fn create_checked(
        &mut self,
        call: &mut Ecall<'_>,
        request: &CreateRequest,
    ) -> Step<(Address, Result<FrameResult, u64>)> {
        let none = Address::default();
        if !self.covers(request.value)? {
            return Ok((none, Err(status::INSUFFICIENT_BALANCE)));
        }
        if self.is_deepest() {
            return Ok((none, Err(status::CALL_DEPTH)));
        }
        let bytes = read(call, request.code.0, request.code.1)?;
        let rules = self.execution.rules;
        let Ok(code) = rules.programs.load(&code_hash(bytes), bytes, rules.machine) else {
            return Ok((none, Err(status::INVALID_PROGRAM)));
        };
        let count = self.execution.journal.nonce(&self.contract);
        let count = self.or_abandon(count)?;
        self.execution.journal.count(&self.contract);
        let address = Address::of_create(&self.contract, count);
        let creation = Creation {
            code,
            bytes: bytes.into(),
            address,
            creator: self.contract,
            value: request.value,
            input: read(call, request.input.0, request.input.1)?.to_vec(),
            gas: self.forwarded(call, request.gas),
            depth: self.depth + 1,
        };
        let checkpoint = self.execution.journal.checkpoint();
        self.execution.journal.warm_account(&address);
        let moved = self
            .execution
            .journal
            .transfer(&self.contract, &address, request.value);
        let moved = self.or_abandon(moved)?;
        debug_assert!(moved, "the balance was checked");
        let result = create_contract(self.execution, checkpoint, creation);
        Ok((
            address,
            self.or_abandon(result)?.map_err(|_| status::ADDRESS_COLLISION),
        ))
    }

    /// Takes what the callee used, keeps its output, and answers status and length.
    fn finish_call(&mut self, call: &mut Ecall<'_>, result: Result<FrameResult, u64>) -> Step {
        let status = match result {
            Err(status) => {
                self.return_data.clear();
                status
            }
            Ok(FrameResult {
                end,
                output,
                gas_used,
            }) => {
                call.charge(gas_used)?;
                self.return_data = output;
                match end {
                    FrameEnd::Returned => status::SUCCESS,
                    FrameEnd::Reverted => status::REVERTED,
                    FrameEnd::Trapped => status::TRAPPED,
                }
            }
        };
        call.results = [status, self.return_data.len() as u64];
        Ok(())
    }

    /// Charges and counts a transfer of value that comes with a call or a creation.
    fn charge_value(&mut self, call: &mut Ecall<'_>, value: Amount) -> Step {
        if value == 0 {
            return Ok(());
        }
        call.charge(self.schedule().transfer)?;
        self.execution.count_entry()
    }

    /// Whether the contract has so much.
    fn covers(&mut self, value: Amount) -> Step<bool> {
        let covers = self.execution.journal.covers(&self.contract, value);
        self.or_abandon(covers)
    }

    fn is_deepest(&self) -> bool {
        self.depth >= self.execution.rules.limits.call_depth
    }

    /// Gas that the callee gets when `named` is asked for.
    fn forwarded(&self, call: &Ecall<'_>, named: Gas) -> Gas {
        named.min(self.schedule().forwardable(call.gas_left()))
    }
}
