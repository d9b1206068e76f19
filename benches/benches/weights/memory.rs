//! What lies in the region that a sequence plays in.

use millrace_jit::machine::PAGE_BYTES;
use millrace_tests::asm::Text;
use serde_json::{Value, json};

use super::sequence::{REGION, REGION_IMAGE_BYTES};

/// A ring of pointers through the footprint, in an order that no prefetcher follows, each `stride` bytes from the next place, `offset` bytes
/// from the place's start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Chain {
    /// Bytes from place to place.
    pub stride: u32,
    /// Bytes from a place's start to its pointer: in the middle of one, or across two lines or pages.
    pub offset: u32,
}

/// Contents of the region: every page of the footprint is touched, and a chain laid through it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Layout {
    /// Bytes from the region's start.
    pub footprint: u32,
    /// The ring of pointers, if any: with the footprint, what [`Chain`] says.
    pub chain: Option<Chain>,
}

/// All that an instance may have of image and heap, but for text, and a page behind it that accesses may reach into.
pub const LARGEST_FOOTPRINT: u32 = REGION_IMAGE_BYTES + (63 << 20);

/// One more than a multiple of 4, and [`ADDEND`] odd: then place i is followed by FACTOR × i + ADDEND, modulo the places,
/// in one ring through all of them.
const FACTOR: u64 = 6_364_136_223_846_793_005;
const ADDEND: i32 = 1231;

/// Instructions of [`prologue`].
pub const PROLOGUE_INSTRUCTIONS: u64 = 22;

/// Code that touches every page and lays the chain, as [`Layout::orders`] at `orders` of the page that `page` points to
/// say. It changes x1 to x9, which are zero before.
pub fn prologue(text: &mut Text, page: u8, orders: i32) {
    let start = text.here();
    text.op("ld", 1, page, 0, orders);
    text.op("ld", 2, page, 0, orders + 8);
    text.op("lui", 5, 0, 0, PAGE_BYTES as i32);
    text.op("sb", 0, 1, 0, 0);
    text.op("add", 1, 1, 5, 0);
    text.op("addi", 2, 2, 0, -1);
    text.op("bne", 0, 2, 0, -12);
    for (index, register) in (2..).zip(1..=5) {
        text.op("ld", register, page, 0, orders + index * 8);
    }
    // Without places there is no chain.
    text.op("beq", 0, 1, 0, 40);
    text.op("mul", 7, 6, 4, 0);
    text.op("add", 7, 7, 5, 0);
    text.op("mul", 8, 6, 2, 0);
    text.op("addi", 8, 8, 0, ADDEND);
    text.op("and", 8, 8, 3, 0);
    text.op("mul", 8, 8, 4, 0);
    text.op("add", 8, 8, 5, 0);
    text.op("sd", 0, 7, 8, 0);
    text.op("addi", 6, 6, 0, 1);
    text.op("bne", 0, 6, 1, -36);
    debug_assert_eq!(text.here() - start, PROLOGUE_INSTRUCTIONS * 4);
}

impl Layout {
    /// Address of a pointer of the chain, the `part`-th of eight parts of the ring; the region's start without a chain.
    pub fn link(&self, part: u32) -> u64 {
        let Some(chain) = self.chain else {
            return REGION;
        };
        let places = self.places(chain);
        REGION + u64::from(places / 8 * part) * u64::from(chain.stride) + u64::from(chain.offset)
    }

    /// A power of two: the order is that of a congruential generator with full period.
    fn places(&self, chain: Chain) -> u32 {
        1 << ((self.footprint - 8 - chain.offset) / chain.stride + 1).ilog2()
    }

    /// Bytes of the region that the image has to hold: no more than are used, since what is held sets the price.
    pub fn image_bytes(&self) -> u32 {
        (self.footprint + PAGE_BYTES)
            .next_multiple_of(PAGE_BYTES)
            .min(REGION_IMAGE_BYTES)
    }

    /// Pages of heap that it needs, with one more for accesses that reach across its end.
    pub fn heap_pages(&self) -> u32 {
        (self.footprint + PAGE_BYTES)
            .saturating_sub(REGION_IMAGE_BYTES)
            .div_ceil(PAGE_BYTES)
    }

    /// What [`prologue`] is told: first page and number of pages; places, factor, mask, stride and first pointer.
    pub fn orders(&self) -> [u64; 7] {
        let pages = u64::from(self.footprint.div_ceil(PAGE_BYTES));
        let chain = self.chain.map_or([0; 5], |chain| {
            let places = u64::from(self.places(chain));
            let first = REGION + u64::from(chain.offset);
            [places, FACTOR, places - 1, u64::from(chain.stride), first]
        });
        let [places, factor, mask, stride, first] = chain;
        [REGION, pages, places, factor, mask, stride, first]
    }

    /// For a file.
    pub fn json(&self) -> Value {
        let chain = self
            .chain
            .map(|chain| json!({ "stride": chain.stride, "offset": chain.offset }));
        json!({ "footprint": self.footprint, "chain": chain })
    }

    /// What [`Self::json`] wrote, or `None`.
    pub fn from_json(value: &Value) -> Option<Self> {
        let number = |value: &Value| u32::try_from(value.as_u64()?).ok();
        let chain = &value["chain"];
        let chain = if chain.is_null() {
            None
        } else {
            Some(Chain {
                stride: number(&chain["stride"])?,
                offset: number(&chain["offset"])?,
            })
        };
        Some(Self {
            footprint: number(&value["footprint"])?,
            chain,
        })
    }
}
