//! Loads and stores.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    Endianness, InstBuilder as _, InstructionData, MemFlagsData, Opcode, Value, types,
};

use super::{Protection, Translator};
use crate::compiler::flow::Step;
use crate::compiler::registers::Registers;
use crate::compiler::summary::SP;
use crate::isa::{Class, Op};
use crate::machine::PAGE_BYTES;
use crate::runtime::layout;

/// How many accesses to one place make it worth while to have its host address in a register.
pub(super) const HOST_ADDRESS_USES: usize = 6;

/// How far they are looked for, in instructions.
const REACH: usize = 64;

/// An address as an access takes it: a host address and a constant to add.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) address: Value,
    pub(super) offset: i32,
}

impl Translator<'_> {
    /// Flags of guest accesses: they may fault, at any alignment.
    ///
    /// Hosts are little endian, as guests are. Loads say so and stores do not, because Cranelift removes a store of what
    /// was just loaded from the same place when both look alike; but a page may be readable and not writable, and then
    /// the store has to fault.
    pub(super) fn store_flags(&self) -> MemFlagsData {
        const { assert!(cfg!(target_endian = "little")) };
        MemFlagsData::new().with_alias_region(Some(self.guest))
    }

    pub(super) fn load_flags(&self) -> MemFlagsData {
        self.store_flags().with_endianness(Endianness::Little)
    }

    /// The place of an access of `bytes` at zext32(base register) + imm.
    pub(super) fn place(&mut self, register: u8, imm: i32, bytes: u32, writes: bool) -> Place {
        if register == SP
            && let (Some(frame), Some(distance)) = (self.frame, self.frame_offset)
        {
            return Place {
                address: frame,
                offset: distance + imm,
            };
        }
        let value = self.get(register);
        if let (Some(frame), Some(distance)) = (self.frame, self.in_frame[value]) {
            return Place {
                address: frame,
                offset: distance + imm,
            };
        }
        if self.input.protection == Protection::Checked {
            return self.checked_place(value, imm, bytes, writes);
        }
        // Folding passes over a wrap of the base at 2^32, which makes no difference: wrapped or not the sum lies in the
        // 64 KiB at either end that are never mapped.
        let (root, displacement) = self.displaced[value].unwrap_or((value, 0));
        let offset = displacement + imm;
        if let Some(&address) = self.hosts.get(&root) {
            return Place { address, offset };
        }
        if self.uses_that_follow(register) + 1 >= HOST_ADDRESS_USES {
            let address = self.host_address(root);
            self.hosts.insert(root, address);
            return Place { address, offset };
        }
        let index = self.zero_extended(root);
        let base = self.base();
        Place {
            address: self.builder.ins().iadd(base, index),
            offset,
        }
    }

    /// The host address of a guest address, in one register. Cranelift would rather add the base in each access, and so
    /// keep two.
    pub(super) fn host_address(&mut self, root: Value) -> Value {
        let index = self.zero_extended(root);
        let base = self.base();
        let address = self.builder.ins().iadd(base, index);
        let pair = self.builder.ins().iconcat(address, address);
        self.builder.ins().isplit(pair).0
    }

    /// Accesses in the rest of the block by the value of a register, or that and a constant.
    fn uses_that_follow(&self, register: u8) -> usize {
        let mut holders = Registers::one(register);
        let mut uses = 0;
        for step in self.following.iter().take(REACH) {
            let is_derived = holders.contains(step.rs1);
            match step.op.class() {
                Class::Load | Class::Store if is_derived => uses += 1,
                _ => {}
            }
            if step.op == Op::Addi && is_derived {
                holders |= Registers::one(step.rd);
            } else {
                holders = holders - Registers::one(step.rd);
            }
            if holders == Registers::NONE {
                break;
            }
        }
        uses
    }

    /// The same with explicit checks of the page table.
    fn checked_place(&mut self, value: Value, imm: i32, bytes: u32, writes: bool) -> Place {
        let index = self.zero_extended(value);
        let first = self.builder.ins().iadd_imm_s(index, i64::from(imm));
        let last = self.builder.ins().iadd_imm_s(first, i64::from(bytes) - 1);
        // Both ends lie in the address space, or the access faults; a sum below 0 is a huge one.
        let space_end = self.constant(1 << 32);
        let first_outside = self.compare(IntCC::UnsignedGreaterThanOrEqual, first, space_end);
        self.trap_if(first_outside);
        let last_outside = self.compare(IntCC::UnsignedGreaterThanOrEqual, last, space_end);
        self.trap_if(last_outside);
        let table = self.load_context(layout::PERMISSIONS);
        let bit = if writes {
            layout::WRITE_BIT
        } else {
            layout::READ_BIT
        };
        let mut both = None;
        for address in [first, last] {
            let page = self
                .builder
                .ins()
                .ushr_imm_u(address, i64::from(PAGE_BYTES.trailing_zeros()));
            let entry = self.builder.ins().iadd(table, page);
            let flags = MemFlagsData::trusted().with_alias_region(Some(self.context));
            let permissions = self.builder.ins().uload8(types::I64, flags, entry, 0);
            both = Some(match both {
                None => permissions,
                Some(other) => self.builder.ins().band(other, permissions),
            });
        }
        let both = both.expect("there are two ends");
        let permitted = self.builder.ins().band_imm_s(both, i64::from(bit));
        let zero = self.constant(0);
        let refused = self.compare(IntCC::Equal, permitted, zero);
        self.trap_if(refused);
        let base = self.base();
        Place {
            address: self.builder.ins().iadd(base, first),
            offset: 0,
        }
    }

    pub(super) fn load(&mut self, step: &Step) {
        let bytes = match step.op {
            Op::Lb | Op::Lbu => 1,
            Op::Lh | Op::Lhu => 2,
            Op::Lw | Op::Lwu => 4,
            _ => 8,
        };
        let place = self.place(step.rs1, step.imm, bytes, false);
        let value = self.load_at(step.op, place);
        self.set(step.rd, value);
    }

    pub(super) fn load_at(&mut self, op: Op, place: Place) -> Value {
        let flags = self.load_flags();
        let Place { address, offset } = place;
        let ins = self.builder.ins();
        match op {
            Op::Lb => ins.sload8(types::I64, flags, address, offset),
            Op::Lbu => ins.uload8(types::I64, flags, address, offset),
            Op::Lh => ins.sload16(types::I64, flags, address, offset),
            Op::Lhu => ins.uload16(types::I64, flags, address, offset),
            Op::Lw => ins.sload32(flags, address, offset),
            Op::Lwu => ins.uload32(flags, address, offset),
            _ => ins.load(types::I64, flags, address, offset),
        }
    }

    /// The constant that a value is, if it is one.
    pub(super) fn constant_of(&self, value: Value) -> Option<i64> {
        let dfg = &self.builder.func.dfg;
        let inst = dfg.value_def(dfg.resolve_aliases(value)).inst()?;
        match dfg.insts[inst] {
            InstructionData::UnaryImm {
                opcode: Opcode::Iconst,
                imm,
            } => Some(imm.bits()),
            _ => None,
        }
    }

    pub(super) fn store(&mut self, step: &Step) {
        let bytes = match step.op {
            Op::Sb => 1,
            Op::Sh => 2,
            Op::Sw => 4,
            _ => 8,
        };
        let place = self.place(step.rs1, step.imm, bytes, true);
        let value = self.get(step.rs2);
        self.store_at(step.op, place, value);
    }

    pub(super) fn store_at(&mut self, op: Op, place: Place, value: Value) {
        let flags = self.store_flags();
        let Place { address, offset } = place;
        let narrow = match op {
            Op::Sb => Some((types::I8, 0xff)),
            Op::Sh => Some((types::I16, 0xffff)),
            Op::Sw => Some((types::I32, 0xffff_ffff)),
            _ => None,
        };
        if let (Some((narrow, mask)), Some(constant)) = (narrow, self.constant_of(value)) {
            // As an immediate of its own width: Cranelift would put a wide one into a register.
            let value = self.builder.ins().iconst(narrow, constant & mask);
            self.builder.ins().store(flags, value, address, offset);
            return;
        }
        let ins = self.builder.ins();
        match op {
            Op::Sb => ins.istore8(flags, value, address, offset),
            Op::Sh => ins.istore16(flags, value, address, offset),
            Op::Sw => ins.istore32(flags, value, address, offset),
            _ => ins.store(flags, value, address, offset),
        };
    }
}
