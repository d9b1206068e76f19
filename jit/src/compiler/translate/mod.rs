//! From a region to Cranelift IR.
//!
//! `control` lays out blocks and writes calls, returns and exits; `alu`, `memory`, `atomic` and `float` translate what
//! computes.
//! Everything is one CLIF function per region, whose signature follows from its summary ([`super::summary`]), and an
//! entry thunk for callers that know nothing but its address:
//!
//! ```text
//! function  (gas, passed registers…) -> (gas, returned registers…)
//! thunk     (gas) -> gas
//! ```
//!
//! The address of guest address 0, the *base*, is in the pinned register throughout, and the context lies at a constant
//! distance below it. `gas` counts up to
//! 2^64: it is the complement of the gas left, so that paying is one addition whose carry means out of gas.

mod alu;
mod atomic;
mod control;
mod float;
mod memory;
mod switch;
mod wide;

use std::collections::BTreeMap;

use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    self, AbiParam, AliasRegion, AliasRegionData, InstBuilder as _, MemFlagsData, SigRef, Signature,
    SourceLoc, TrapCode, Type, Value, types,
};
use cranelift_codegen::isa::{CallConv, TargetFrontendConfig};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};

use super::constants::Known;
use super::dataflow::Facts;
use super::debt::Debts;
use super::floats::Observed;
use super::flow::{Region, Step, Text};
use super::frame;
use super::loops::Loops;
use super::registers::Registers;
use super::summary::{Summaries, Summary};
use crate::isa::{F0, Op};
use crate::runtime::layout;
use float::Floats;
use switch::Shapes;
use wide::{Carry, Halves};

/// Trap of a payment that carries.
pub(crate) const OUT_OF_GAS: TrapCode = TrapCode::unwrap_user(1);
/// Trap of an illegal instruction, a breakpoint, a misaligned atomic.
pub(crate) const GUEST_TRAP: TrapCode = TrapCode::unwrap_user(2);
/// Behind calls that do not come back.
pub(crate) const UNREACHABLE: TrapCode = TrapCode::unwrap_user(3);

/// How native code finds out about accesses outside what is mapped, and about gas running out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protection {
    /// By hardware faults and trap instructions, which a signal handler turns into exits.
    Signals,
    /// By explicit checks that leave through the exit stub: needs no handler.
    Checked,
}

/// Most instructions of a function that keeps the base in a register.
const SMALL_LEAF: usize = 100;

/// After how many instructions others read it again.
const BASE_REACH: usize = 12;

/// The type of a register's values.
const fn type_of(register: u8) -> Type {
    if register < F0 { types::I64 } else { types::F64 }
}

/// The signature of entry thunks: gas in, gas out, everything else in the context.
pub(crate) fn thunk_signature(convention: CallConv) -> Signature {
    let mut signature = Signature::new(convention);
    signature.params = vec![AbiParam::new(types::I64)];
    signature.returns = vec![AbiParam::new(types::I64)];
    signature
}

/// Whether the host's convention returns values in as many registers as summaries may name: AArch64 has eight, more than
/// Cranelift's own convention has there, and x86-64 two.
const HOST_RETURNS_MANY: bool = cfg!(target_arch = "aarch64");

/// The signature of a region's function. Functions without calls keep the host's callee-saved registers, so that
/// callers need not save around them; others gain more by returning values in many registers. Whoever goes by the context
/// is called as entry thunks are.
pub(crate) fn signature(summary: Summary, convention: CallConv) -> Signature {
    let convention = if summary.is_leaf || summary.by_context || HOST_RETURNS_MANY {
        convention
    } else {
        CallConv::Tail
    };
    let mut signature = Signature::new(convention);
    signature.params = vec![AbiParam::new(types::I64); 1 + summary.passed.iter().count()];
    signature.returns = vec![AbiParam::new(types::I64); 1 + summary.returned.iter().count()];
    signature
}

/// Writes an entry thunk: loads what is passed, calls the function, stores what comes back.
pub(crate) fn thunk(
    function: &mut ir::Function,
    scratch: &mut FunctionBuilderContext,
    target: TargetFrontendConfig,
    summary: Summary,
    callee: ir::FuncRef,
) {
    let mut builder = FunctionBuilder::new(function, scratch);
    let block = builder.create_block();
    builder.append_block_params_for_function_params(block);
    builder.switch_to_block(block);
    let gas = builder.block_params(block)[0];
    let base = builder.ins().get_pinned_reg(types::I64);
    let flags = MemFlagsData::trusted();
    let mut arguments = vec![gas];
    for register in summary.passed.iter() {
        arguments.push(
            builder
                .ins()
                .load(types::I64, flags, base, layout::register(register)),
        );
    }
    let restored: Vec<(u8, Value)> = summary
        .restored
        .iter()
        .map(|register| {
            (
                register,
                builder
                    .ins()
                    .load(types::I64, flags, base, layout::register(register)),
            )
        })
        .collect();
    let call = builder.ins().call(callee, &arguments);
    let results = builder.inst_results(call).to_vec();
    let base = builder.ins().get_pinned_reg(types::I64);
    for (register, value) in restored {
        builder
            .ins()
            .store(flags, value, base, layout::register(register));
    }
    for (register, &value) in summary.returned.iter().zip(&results[1..]) {
        builder
            .ins()
            .store(flags, value, base, layout::register(register));
    }
    builder.ins().return_(&results[..1]);
    builder.seal_all_blocks();
    builder.finalize(target);
}

/// What the translation of one region is told.
pub(crate) struct Input<'a> {
    pub(crate) text: Text<'a>,
    pub(crate) region: &'a Region,
    pub(crate) facts: &'a Facts,
    pub(crate) summaries: &'a Summaries<'a>,
    pub(crate) protection: Protection,
    /// Whether gas is paid.
    pub(crate) meters: bool,
    /// The host's convention, for thunks, helpers and functions without calls.
    pub(crate) convention: CallConv,
    /// Whether the function has to look at the host stack before it uses more.
    pub(crate) checks_stack: bool,
    /// Constants at the start of each block.
    pub(crate) constants: &'a [Known],
    /// File bytes of segments that are never written, by address.
    pub(crate) read_only: &'a [(u32, &'a [u8])],
    /// What the program can tell of how floating point is computed.
    pub(crate) floats: Observed,
    /// Whether the host has fused multiplication and addition.
    pub(crate) fuses: bool,
}

impl<'a> Input<'a> {
    /// File bytes from an address on, where they never change.
    fn read_only_at(&self, address: u32) -> Option<&'a [u8]> {
        self.read_only.iter().find_map(|&(start, bytes)| {
            let offset = address.checked_sub(start)? as usize;
            bytes.get(offset..).filter(|rest| !rest.is_empty())
        })
    }
}

/// Where a function that is called by name is found.
pub(crate) trait Callees {
    /// The reference to the native function of an entry, declared in `function`.
    fn function(&mut self, function: &mut ir::Function, entry: u32) -> ir::FuncRef;
}

/// Translates a region into `function`, which is empty but for its signature.
pub(crate) fn translate(
    function: &mut ir::Function,
    scratch: &mut FunctionBuilderContext,
    callees: &mut dyn Callees,
    input: &Input<'_>,
    target: TargetFrontendConfig,
) {
    let guest = function.dfg.alias_regions.insert(AliasRegionData {
        user_id: 1,
        description: "guest".into(),
    });
    let context = function.dfg.alias_regions.insert(AliasRegionData {
        user_id: 2,
        description: "context".into(),
    });
    let mut builder = FunctionBuilder::new(function, scratch);
    let registers = std::array::from_fn(|number| builder.declare_var(type_of(number as u8)));
    let gas = builder.declare_var(types::I64);
    let thunk = builder.import_signature(thunk_signature(input.convention));
    let entry = builder.create_block();
    builder.append_block_params_for_function_params(entry);
    builder.switch_to_block(entry);
    let mut translator = Translator {
        input,
        debts: Debts::place(input.region),
        loops: Loops::of(input.region),
        recurses: false,
        registers,
        gas,
        base: None,
        thunk,
        helper_signatures: [None; 4],
        guest,
        context,
        frame: None,
        frame_offset: None,
        hosts: BTreeMap::new(),
        following: &[],
        base_age: 0,
        displaced: SecondaryMap::new(),
        in_frame: SecondaryMap::new(),
        floats: Floats::default(),
        blocks: Vec::new(),
        edges_into: Vec::new(),
        postponed: Vec::new(),
        pending: Registers::NONE,
        shapes: Shapes::new([None; 32]),
        halves: Halves::default(),
        carry_to_note: None,
        callees,
        builder,
    };
    translator.function(entry);
    translator.builder.seal_all_blocks();
    translator.builder.finalize(target);
}

/// State of one translation.
struct Translator<'a> {
    input: &'a Input<'a>,
    builder: FunctionBuilder<'a>,
    callees: &'a mut dyn Callees,
    debts: Debts,
    loops: Loops,
    /// Whether the function calls itself.
    recurses: bool,
    registers: [Variable; 64],
    gas: Variable,
    /// Address of guest address 0, where the current block has read it.
    base: Option<Value>,
    /// Signature of entry thunks.
    thunk: SigRef,
    helper_signatures: [Option<SigRef>; 4],
    guest: AliasRegion,
    context: AliasRegion,
    /// Host address of where the guest's stack pointer stood at entry, in functions that use their stack.
    frame: Option<Value>,
    /// Where it stands now, from there.
    frame_offset: Option<i32>,
    /// Host addresses of guest addresses that the current block uses often.
    hosts: BTreeMap<Value, Value>,
    /// Instructions of the current block that come next.
    following: &'a [Step],
    /// Instructions since the base was read.
    base_age: usize,
    /// Values that are another value plus a small constant.
    displaced: SecondaryMap<Value, Option<(Value, i32)>>,
    /// Values that are the stack pointer at entry plus a small constant.
    in_frame: SecondaryMap<Value, Option<i32>>,
    /// What is known of floating-point values.
    floats: Floats,
    /// CLIF blocks of the region's blocks.
    blocks: Vec<ir::Block>,
    /// Edges that lead to each block.
    edges_into: Vec<u32>,
    /// What each block that is reached by one edge alone still has to load when it begins.
    postponed: Vec<Registers>,
    /// What the current block has yet to load: where it is used first, so that it is not kept in between.
    pending: Registers,
    /// What is known of registers in the current block.
    shapes: Shapes,
    /// Halves of 128-bit operations in the current block.
    halves: Halves,
    carry_to_note: Option<Carry>,
}

impl<'a> Translator<'a> {
    /// Address of guest address 0. Functions that make calls read it again in every block, so that it need not be kept
    /// across calls.
    fn base(&mut self) -> Value {
        match self.base {
            Some(base) => base,
            None => {
                let base = self.builder.ins().get_pinned_reg(types::I64);
                self.base = Some(base);
                self.base_age = 0;
                base
            }
        }
    }

    /// Starts writing a block.
    fn enter(&mut self, block: ir::Block) {
        self.builder.switch_to_block(block);
        if !self.keeps_base() {
            self.base = None;
        }
        self.hosts.clear();
    }

    /// Whether the base stays in a register throughout: reading it again is cheaper than bringing it back from the stack.
    fn keeps_base(&self) -> bool {
        self.input.facts.own.is_leaf && self.input.region.len() <= SMALL_LEAF
    }

    fn constant(&mut self, value: u64) -> Value {
        self.builder.ins().iconst(types::I64, value.cast_signed())
    }

    fn immediate(&mut self, imm: i32) -> Value {
        self.builder.ins().iconst(types::I64, i64::from(imm))
    }

    /// The value of a register.
    fn get(&mut self, register: u8) -> Value {
        if register == 0 {
            return self.constant(0);
        }
        if self.pending.contains(register) {
            self.pending = self.pending - Registers::one(register);
            self.reload(Registers::one(register));
        }
        self.builder.use_var(self.registers[usize::from(register)])
    }

    /// Sets a register, if it is one.
    fn set(&mut self, register: u8, value: Value) {
        if register != 0 {
            self.pending = self.pending - Registers::one(register);
            self.builder.def_var(self.registers[usize::from(register)], value);
        }
    }

    fn set_gas(&mut self, value: Value) {
        self.builder.def_var(self.gas, value);
    }

    fn gas_value(&mut self) -> Value {
        self.builder.use_var(self.gas)
    }

    /// Flags of accesses to the context: always mapped, never the guest's.
    fn context_flags(&self) -> MemFlagsData {
        MemFlagsData::trusted().with_alias_region(Some(self.context))
    }

    fn load_context(&mut self, offset: i32) -> Value {
        self.load_context_as(types::I64, offset)
    }

    fn load_context_as(&mut self, kind: Type, offset: i32) -> Value {
        let (flags, base) = (self.context_flags(), self.base());
        self.builder.ins().load(kind, flags, base, offset)
    }

    fn store_context(&mut self, offset: i32, value: Value) {
        let (flags, base) = (self.context_flags(), self.base());
        self.builder.ins().store(flags, value, base, offset);
    }

    /// Copies registers to their home.
    fn spill(&mut self, registers: Registers) {
        for register in registers.iter() {
            let value = self.get(register);
            self.store_context(layout::register(register), value);
        }
    }

    /// Copies registers from their home.
    fn reload(&mut self, registers: Registers) {
        for register in registers.iter() {
            let value = self.load_context_as(type_of(register), layout::register(register));
            self.set(register, value);
        }
    }

    fn compare(&mut self, condition: IntCC, a: Value, b: Value) -> Value {
        self.builder.ins().icmp(condition, a, b)
    }

    /// Translates an instruction; `following` is the rest of its block.
    fn step(&mut self, step: &Step, following: &'a [Step]) {
        self.builder.set_srcloc(SourceLoc::new(step.pc));
        self.note_shape(step);
        self.following = following;
        self.base_age += 1;
        if self.base_age >= BASE_REACH && !self.keeps_base() {
            self.base = None;
        }
        match step.op {
            Op::Lb | Op::Lh | Op::Lw | Op::Ld | Op::Lbu | Op::Lhu | Op::Lwu => self.load(step),
            Op::Sb | Op::Sh | Op::Sw | Op::Sd => self.store(step),
            op if op.class() == crate::isa::Class::Atomic => self.atomic(step),
            Op::Fence | Op::FenceI => {}
            Op::Flw | Op::Fld => self.load_float(step),
            Op::Fsw | Op::Fsd => self.store_float(step),
            op if op.class().is_float() => self.float(step),
            op if op.class() == crate::isa::Class::Csr => self.csr(step),
            _ => {
                if step.rd != 0 {
                    let value = match self.wide(step, following) {
                        Some(value) => value,
                        None => self.compute(step),
                    };
                    self.keep_carry(value);
                    self.set(step.rd, value);
                }
            }
        }
        self.frame_offset = frame::follow(self.frame_offset, step);
    }
}
