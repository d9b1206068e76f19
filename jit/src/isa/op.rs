//! Operations: what an instruction does, apart from how it is encoded.
//!
//! A compressed form and the 32-bit form that it expands to share one [`Op`], so semantics are written once.

/// A part of the instruction set that a machine version has or has not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Extension {
    /// RV64I, with `fence`, `ecall` and `ebreak`.
    I,
    /// Multiplication and division.
    M,
    /// LR/SC and AMOs.
    A,
    /// 16-bit encodings.
    C,
    /// Address generation.
    Zba,
    /// Basic bit manipulation.
    Zbb,
    /// Carry-less multiplication.
    Zbc,
    /// Single-bit operations.
    Zbs,
    /// Conditional zero.
    Zicond,
    /// `fence.i`, which does nothing here: text never changes.
    Zifencei,
    /// Single-precision floating point.
    F,
    /// Double-precision floating point.
    D,
    /// 16-bit encodings of loads and stores of doubles.
    Zcd,
    /// Control and status registers: here those of floating point and no others.
    Zicsr,
}

impl Extension {
    /// The extension's name as in an ISA string.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::I => "I",
            Self::M => "M",
            Self::A => "A",
            Self::C => "C",
            Self::Zba => "Zba",
            Self::Zbb => "Zbb",
            Self::Zbc => "Zbc",
            Self::Zbs => "Zbs",
            Self::Zicond => "Zicond",
            Self::Zifencei => "Zifencei",
            Self::F => "F",
            Self::D => "D",
            Self::Zcd => "Zcd",
            Self::Zicsr => "Zicsr",
        }
    }
}

/// What an operation is to gas and to control flow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    /// Integer and bit manipulation.
    Alu,
    /// Multiplication.
    Mul,
    /// Carry-less multiplication.
    Clmul,
    /// Division and remainder.
    Div,
    /// Load.
    Load,
    /// Store.
    Store,
    /// Conditional branch.
    Branch,
    /// Direct jump.
    Jal,
    /// Indirect jump.
    Jalr,
    /// LR, SC, AMO.
    Atomic,
    /// Fences, all no-ops on a single hart.
    Fence,
    /// Host call.
    Ecall,
    /// Breakpoint trap.
    Ebreak,
    /// Floating point that looks at bits: moves, signs, classes, comparisons, minima and maxima.
    FloatBits,
    /// Floating-point sums, differences, products and conversions.
    Float,
    /// Fused multiplication and addition.
    FloatFused,
    /// Floating-point division and square root.
    FloatDivide,
    /// Access to `fflags`, `frm` or `fcsr`.
    Csr,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 18] = [
        Self::Alu,
        Self::Mul,
        Self::Clmul,
        Self::Div,
        Self::Load,
        Self::Store,
        Self::Branch,
        Self::Jal,
        Self::Jalr,
        Self::Atomic,
        Self::Fence,
        Self::Ecall,
        Self::Ebreak,
        Self::FloatBits,
        Self::Float,
        Self::FloatFused,
        Self::FloatDivide,
        Self::Csr,
    ];

    /// Whether the instruction ends a straight line: what follows in text need not be what runs next.
    #[must_use]
    pub const fn ends_line(self) -> bool {
        matches!(
            self,
            Self::Branch | Self::Jal | Self::Jalr | Self::Ecall | Self::Ebreak
        )
    }

    /// Whether it computes with floating-point registers or moves between them and integer registers.
    #[must_use]
    pub const fn is_float(self) -> bool {
        matches!(
            self,
            Self::FloatBits | Self::Float | Self::FloatFused | Self::FloatDivide
        )
    }
}

macro_rules! operations {
    ($($class:ident { $($op:ident),* $(,)? })*) => {
        /// An operation, named as its 32-bit instruction.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "the names are those of the RISC-V manual")]
        pub enum Op { $($($op,)*)* }

        impl Op {
            /// Every operation.
            pub const ALL: &'static [Self] = &[$($(Self::$op,)*)*];

            /// What it is to gas and to control flow.
            #[must_use]
            pub const fn class(self) -> Class {
                match self { $($(Self::$op)|* => Class::$class,)* }
            }
        }
    };
}

operations! {
    Alu {
        Lui, Auipc,
        Addi, Slti, Sltiu, Xori, Ori, Andi, Slli, Srli, Srai,
        Add, Sub, Sll, Slt, Sltu, Xor, Srl, Sra, Or, And,
        Addiw, Slliw, Srliw, Sraiw, Addw, Subw, Sllw, Srlw, Sraw,
        AddUw, Sh1add, Sh2add, Sh3add, Sh1addUw, Sh2addUw, Sh3addUw, SlliUw,
        Andn, Orn, Xnor, Clz, Ctz, Cpop, Clzw, Ctzw, Cpopw, Max, Maxu, Min, Minu, SextB, SextH, ZextH,
        Rol, Ror, Rori, Rolw, Rorw, Roriw, OrcB, Rev8,
        Bclr, Bclri, Bext, Bexti, Binv, Binvi, Bset, Bseti,
        CzeroEqz, CzeroNez,
    }
    Mul { Mul, Mulh, Mulhsu, Mulhu, Mulw }
    Clmul { Clmul, Clmulh, Clmulr }
    Div { Div, Divu, Rem, Remu, Divw, Divuw, Remw, Remuw }
    Load { Lb, Lh, Lw, Ld, Lbu, Lhu, Lwu, Flw, Fld }
    Store { Sb, Sh, Sw, Sd, Fsw, Fsd }
    Branch { Beq, Bne, Blt, Bge, Bltu, Bgeu }
    Jal { Jal }
    Jalr { Jalr }
    Atomic {
        LrW, ScW, AmoswapW, AmoaddW, AmoxorW, AmoandW, AmoorW, AmominW, AmomaxW, AmominuW, AmomaxuW,
        LrD, ScD, AmoswapD, AmoaddD, AmoxorD, AmoandD, AmoorD, AmominD, AmomaxD, AmominuD, AmomaxuD,
    }
    Fence { Fence, FenceI }
    Ecall { Ecall }
    Ebreak { Ebreak }
    FloatBits {
        FsgnjS, FsgnjnS, FsgnjxS, FminS, FmaxS, FeqS, FltS, FleS, FclassS, FmvXW, FmvWX,
        FsgnjD, FsgnjnD, FsgnjxD, FminD, FmaxD, FeqD, FltD, FleD, FclassD, FmvXD, FmvDX,
    }
    Float {
        FaddS, FsubS, FmulS, FcvtWS, FcvtWuS, FcvtLS, FcvtLuS, FcvtSW, FcvtSWu, FcvtSL, FcvtSLu,
        FaddD, FsubD, FmulD, FcvtWD, FcvtWuD, FcvtLD, FcvtLuD, FcvtDW, FcvtDWu, FcvtDL, FcvtDLu,
        FcvtSD, FcvtDS,
    }
    FloatFused {
        FmaddS, FmsubS, FnmsubS, FnmaddS,
        FmaddD, FmsubD, FnmsubD, FnmaddD,
    }
    FloatDivide { FdivS, FsqrtS, FdivD, FsqrtD }
    Csr { Csrrw, Csrrs, Csrrc, Csrrwi, Csrrsi, Csrrci }
}
