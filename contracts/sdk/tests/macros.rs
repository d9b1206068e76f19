//! The macros together, on the host in memory: what contracts take, keep, log, return and say of themselves.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use millrace_contract::interface::{Definition, PlaceKind};
use millrace_contract::mock::{Failed, Mock};
use millrace_contract::{Address, Fixed, contract};

const ALICE: Address = Address([0xa1; 32]);

#[contract]
mod market {
    use millrace_contract::storage::{Blob, Counter, Item, Map, Text, Vector};
    use millrace_contract::{Address, Error, Event, Fixed, Revert, host, storage};

    #[derive(Clone, Copy, PartialEq, Eq, Debug, Fixed)]
    pub enum Side {
        Buy,
        Sell,
    }

    #[derive(Clone, Copy, PartialEq, Eq, Debug, Fixed)]
    pub struct Order {
        pub side: Side,
        pub price: i32,
        pub tag: [u8; 3],
    }

    #[storage]
    pub struct Market {
        pub owner: Item<Address>,
        pub orders: Vector<Order>,
        #[key("by/")]
        pub by: Map<(Address, u16, bool), u64>,
        pub fees: Counter,
        pub raw: Blob,
        pub title: Text,
    }

    #[derive(Event)]
    #[event("Placed")]
    struct OrderPlaced<'a> {
        #[topic]
        side: Side,
        #[topic]
        owner: Address,
        order: Order,
        note: &'a str,
        more: Option<u16>,
    }

    #[derive(Error, Clone, Copy)]
    pub enum MarketError {
        /// Nothing is there.
        Nothing,
        #[error("a price is more than nothing")]
        BadPrice,
    }

    /// Opens the market.
    #[init(payable)]
    fn init(title: &str) {
        MARKET.title.set(title);
        MARKET.raw.set(title.as_bytes());
        MARKET.fees.add(1);
        MARKET.owner.set(host::caller());
    }

    /// Places orders.
    ///
    /// Each is logged.
    #[call(0x01)]
    fn place(orders: Vec<Order>, note: Option<&str>) -> Result<u32, MarketError> {
        for order in orders {
            if order.price <= 0 {
                return Err(MarketError::BadPrice);
            }
            MARKET.orders.push(order);
            OrderPlaced {
                side: order.side,
                owner: host::caller(),
                order,
                note: note.unwrap_or("none"),
                more: note.map(|note| note.len() as u16),
            }
            .emit();
        }
        Ok(MARKET.orders.len())
    }

    #[call(0x02)]
    fn pop() -> Option<Order> {
        MARKET.orders.pop()
    }

    #[call(0x03)]
    fn remove(index: u32) -> Order {
        MARKET.orders.swap_remove(index)
    }

    #[call(0x04)]
    fn replace(index: u32, order: Order) {
        MARKET.orders.set(index, order);
    }

    #[call(0x10)]
    fn all() -> Vec<Order> {
        MARKET.orders.iter().collect()
    }

    #[call(0x11)]
    fn title() -> String {
        MARKET.title.get().unwrap_or_default()
    }

    #[call(0x12)]
    fn echo(bytes: Vec<u8>, words: Vec<String>, maybe: Option<Vec<u16>>) -> Vec<u8> {
        let words = words.concat();
        let maybe = maybe.map_or(0, |list| list.len());
        [&bytes[..], words.as_bytes(), &[maybe as u8]].concat()
    }

    #[call(0x13)]
    fn fail(by_name: bool) -> Result<(), Revert> {
        if by_name {
            return Err(MarketError::Nothing.into());
        }
        Err("free text".into())
    }
}

use market::{MARKET, Order, Side};

fn order(side: Side, price: i32) -> Order {
    Order {
        side,
        price,
        tag: *b"abc",
    }
}

fn deployed() -> (Mock, Address) {
    let mut mock = Mock::new();
    let market = mock
        .deploy(ALICE, market::dispatch, 0, b"\x06\0\0\0Bazaar")
        .unwrap();
    (mock, market)
}

fn place(orders: &[Order], note: Option<&str>) -> Vec<u8> {
    let mut input = vec![0x01];
    input.extend((orders.len() as u32).to_le_bytes());
    orders.iter().for_each(|order| input.extend(order.to_bytes()));
    match note {
        Some(note) => {
            input.push(1);
            input.extend((note.len() as u32).to_le_bytes());
            input.extend(note.as_bytes());
        }
        None => input.push(0),
    }
    input
}

#[test]
fn structures_and_enumerations_are_their_parts_one_after_the_other() {
    assert_eq!(order(Side::Sell, -2).to_bytes(), *b"\x01\xfe\xff\xff\xffabc");
    assert_eq!(Order::LENGTH, 8);
    assert_eq!(
        Order::from_bytes(*b"\x00\x05\0\0\0abc"),
        Some(order(Side::Buy, 5))
    );
    assert_eq!(
        Order::from_bytes(*b"\x02\x05\0\0\0abc"),
        None,
        "there are two sides"
    );
}

#[test]
fn lists_options_and_texts_come_in_and_go_out() {
    let (mut mock, market) = deployed();
    assert_eq!(mock.call(ALICE, market, 0, &[0x11]).unwrap(), b"\x06\0\0\0Bazaar");
    let orders = [order(Side::Buy, 5), order(Side::Sell, 7)];
    assert_eq!(
        mock.call(ALICE, market, 0, &place(&orders, None)).unwrap(),
        [2, 0, 0, 0]
    );
    let all = mock.call(ALICE, market, 0, &[0x10]).unwrap();
    assert_eq!(
        all,
        [&[2, 0, 0, 0][..], &orders[0].to_bytes(), &orders[1].to_bytes()].concat()
    );
    let popped = mock.call(ALICE, market, 0, &[0x02]).unwrap();
    assert_eq!(popped, [&[1][..], &orders[1].to_bytes()].concat());
    let input = b"\x12\x02\0\0\0hi\x02\0\0\0\x01\0\0\0a\x02\0\0\0bc\x01\x03\0\0\0aabbcc";
    assert_eq!(
        mock.call(ALICE, market, 0, input).unwrap(),
        b"\x06\0\0\0hiabc\x03"
    );
}

#[test]
fn malformed_lists_are_refused_and_take_no_memory() {
    let (mut mock, market) = deployed();
    for (input, message) in [
        (&b"\x01\xff\xff\xff\xff"[..], "the input ends inside an argument"),
        (
            b"\x01\x01\0\0\0\x02\x05\0\0\0abc\0",
            "an argument has an unknown value",
        ),
        (b"\x01\0\0\0\0\x02", "an argument has an unknown value"),
        (
            b"\x01\0\0\0\0\x00\x00",
            "the input has bytes after its last argument",
        ),
        (
            b"\x12\0\0\0\0\xff\xff\xff\xff",
            "the input ends inside an argument",
        ),
        (
            b"\x12\0\0\0\0\x01\0\0\0\x01\0\0\0\xff\0",
            "a text argument is not UTF-8",
        ),
    ] {
        let refused = mock.call(ALICE, market, 0, input).unwrap_err();
        assert_eq!(refused.message(), message, "{input:?}");
    }
}

/// What `docs/spec/contracts.md` says of vectors, key by key.
#[test]
fn a_vector_keeps_its_length_under_its_name_and_elements_behind_it() {
    let (mut mock, market) = deployed();
    let orders = [order(Side::Buy, 1), order(Side::Buy, 2), order(Side::Buy, 3)];
    assert_eq!(mock.storage(&market, b"orders"), None);
    mock.call(ALICE, market, 0, &place(&orders, None)).unwrap();
    let element =
        |mock: &Mock, index: u8| mock.storage(&market, &[b"orders/", &[index, 0, 0, 0][..]].concat());
    assert_eq!(mock.storage(&market, b"orders"), Some(vec![3, 0, 0, 0]));
    assert_eq!(element(&mock, 2), Some(orders[2].to_bytes().to_vec()));

    let removed = mock.call(ALICE, market, 0, &[0x03, 0, 0, 0, 0]).unwrap();
    assert_eq!(removed, orders[0].to_bytes());
    assert_eq!(element(&mock, 0), Some(orders[2].to_bytes().to_vec()));
    assert_eq!(
        (mock.storage(&market, b"orders"), element(&mock, 2)),
        (Some(vec![2, 0, 0, 0]), None)
    );
    let replace = [&[0x04, 1, 0, 0, 0][..], &orders[0].to_bytes()].concat();
    mock.call(ALICE, market, 0, &replace).unwrap();
    assert_eq!(element(&mock, 1), Some(orders[0].to_bytes().to_vec()));

    let beyond = [&[0x04, 2, 0, 0, 0][..], &orders[0].to_bytes()].concat();
    for input in [&beyond[..], &[0x03, 2, 0, 0, 0]] {
        let refused = mock.call(ALICE, market, 0, input).unwrap_err();
        assert_eq!(refused.message(), "a vector has no such index");
    }
    // The last one: nothing takes its place.
    let last = mock.call(ALICE, market, 0, &[0x03, 1, 0, 0, 0]).unwrap();
    assert_eq!((&last[..], element(&mock, 1)), (&orders[0].to_bytes()[..], None));
    mock.call(ALICE, market, 0, &place(&orders[..1], None)).unwrap();
    for left in [1, 0, 0] {
        mock.call(ALICE, market, 0, &[0x02]).unwrap();
        assert_eq!(mock.storage(&market, b"orders"), Some(vec![left, 0, 0, 0]));
    }
    assert_eq!(
        mock.call(ALICE, market, 0, &[0x02]).unwrap(),
        [0],
        "nothing is left"
    );
}

#[test]
fn what_no_function_takes_is_refused_and_value_stays_with_its_owner() {
    let (mut mock, market) = deployed();
    mock.fund(ALICE, 5);
    let mut refused = |value: u128, input: &[u8]| {
        let failed = mock.call(ALICE, market, value, input).unwrap_err();
        assert_eq!(mock.balance(&ALICE), 5);
        failed.message()
    };
    assert_eq!(refused(1, &[0x10]), "this function takes no value");
    assert_eq!(refused(0, &[0x99]), "unknown selector");
    assert_eq!(refused(0, &[]), "the input ends inside an argument");
    assert_eq!(
        refused(0, &[0x10, 0]),
        "the input has bytes after its last argument"
    );
}

#[test]
fn an_event_is_topics_padded_with_zeros_and_data_without_gaps() {
    let (mut mock, market) = deployed();
    mock.call(ALICE, market, 0, &place(&[order(Side::Sell, 9)], Some("hey")))
        .unwrap();
    let log = mock.take_logs().pop().unwrap();
    let padded = |bytes: &[u8]| -> [u8; 32] {
        let mut topic = [0; 32];
        topic[..bytes.len()].copy_from_slice(bytes);
        topic
    };
    assert_eq!(log.topics, [padded(b"Placed"), padded(&[1]), ALICE.0]);
    assert_eq!(log.data, b"\x01\x09\0\0\0abc\x03\0\0\0hey\x01\x03\x00");
}

#[test]
fn errors_are_text_that_begins_with_their_name() {
    let (mut mock, market) = deployed();
    let message = |result: Result<Vec<u8>, Failed>| result.unwrap_err().message();
    assert_eq!(
        message(mock.call(ALICE, market, 0, &place(&[order(Side::Buy, 0)], None))),
        "BadPrice: a price is more than nothing"
    );
    assert_eq!(message(mock.call(ALICE, market, 0, &[0x13, 1])), "Nothing");
    assert_eq!(message(mock.call(ALICE, market, 0, &[0x13, 0])), "free text");
}

#[test]
fn the_interface_says_what_the_source_says() {
    let interface = market::interface();
    let text = interface.to_json();
    assert_eq!(
        millrace_contract::interface::Interface::from_json(&text).unwrap(),
        interface
    );
    assert_eq!((interface.format, &interface.name[..]), (1, "millrace-contract"));
    assert!(interface.init.payable);
    let place = &interface.functions[0];
    assert_eq!(
        (&place.name[..], place.selector, place.payable),
        ("place", 1, false)
    );
    assert_eq!(place.docs, "Places orders.\n\nEach is logged.");
    let types: Vec<_> = place
        .arguments
        .iter()
        .map(|field| field.kind.to_string())
        .collect();
    assert_eq!(types, ["vec<Order>", "option<str>"]);
    let returns: Vec<_> = interface
        .functions
        .iter()
        .map(|function| {
            function
                .returns
                .as_ref()
                .map_or("null".into(), ToString::to_string)
        })
        .collect();
    assert_eq!(
        returns,
        [
            "u32",
            "option<Order>",
            "Order",
            "null",
            "vec<Order>",
            "str",
            "bytes",
            "null"
        ]
    );
    let defined: Vec<_> = interface.types.iter().map(Definition::name).collect();
    assert_eq!(defined, ["Order", "Side"]);
    assert_eq!(
        (&interface.events[0].name[..], interface.events[0].topics.len()),
        ("Placed", 2)
    );
    let errors: Vec<_> = interface
        .errors
        .iter()
        .map(|error| (&error.name[..], &error.message[..]))
        .collect();
    assert_eq!(
        errors,
        [
            ("Nothing", "Nothing is there."),
            ("BadPrice", "a price is more than nothing")
        ]
    );
    let places: Vec<_> = interface
        .storage
        .iter()
        .map(|place| {
            (
                place.kind,
                &place.prefix[..],
                place.key.len(),
                place.value.to_string(),
            )
        })
        .collect();
    let expected = [
        (PlaceKind::Value, "owner", 0, "address"),
        (PlaceKind::Vector, "orders/", 1, "Order"),
        (PlaceKind::Map, "by/", 3, "u64"),
        (PlaceKind::Counter, "fees", 0, "u128"),
        (PlaceKind::Blob, "raw", 0, "bytes"),
        (PlaceKind::Blob, "title", 0, "str"),
    ];
    assert_eq!(
        places,
        expected.map(|(kind, prefix, key, value)| (kind, prefix, key, value.to_owned()))
    );
}

#[test]
fn two_types_of_one_name_are_refused_instead_of_taken_for_each_other() {
    mod one {
        #[derive(Clone, Copy, millrace_contract::Fixed)]
        pub struct Bid {
            pub amount: u8,
        }
    }
    mod two {
        #[derive(Clone, Copy, millrace_contract::Fixed)]
        pub struct Bid {
            pub amount: u64,
        }
    }
    let describe = |with_both: bool| {
        std::panic::catch_unwind(move || {
            let mut types = millrace_contract::interface::Definitions::new();
            let _ = millrace_contract::interface::field::<one::Bid>("a", &mut types);
            let _ = millrace_contract::interface::field::<one::Bid>("b", &mut types);
            if with_both {
                let _ = millrace_contract::interface::field::<two::Bid>("c", &mut types);
            }
            types.len()
        })
    };
    assert_eq!(describe(false).expect("one type"), 1);
    let said = describe(true).expect_err("another type");
    let said = said.downcast_ref::<String>().expect("a message");
    assert!(
        said.contains("two types of this contract are named `Bid`"),
        "{said}"
    );
}

#[test]
fn the_places_are_where_the_interface_says() {
    let key = MARKET.by.key(&(ALICE, 0x0102, true));
    assert_eq!(key.as_slice(), [b"by/", &ALICE.0[..], &[2, 1, 1]].concat());
    assert_eq!(MARKET.orders.key(258).as_slice(), b"orders/\x02\x01\0\0");
}

/// Whatever bytes come, a call ends with a success or one of the texts of `docs/spec/contracts.md`.
#[test]
fn inputs_of_chance_are_decoded_or_refused_by_name() {
    let (mut mock, market) = deployed();
    let known = [
        "unknown selector",
        "the input ends inside an argument",
        "the input has bytes after its last argument",
        "an argument has an unknown value",
        "a text argument is not UTF-8",
        "a vector has no such index",
        "BadPrice: a price is more than nothing",
        "Nothing",
        "free text",
    ];
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |bound: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % bound
    };
    let mut successes = 0;
    for _ in 0..5_000 {
        // Small bytes make lengths and tags that fit more often than chance would.
        let length = next(40) as usize;
        let input: Vec<u8> = (0..length)
            .map(|_| {
                if next(4) == 0 {
                    next(256) as u8
                } else {
                    next(5) as u8
                }
            })
            .collect();
        let input = [
            &[[0x01, 0x02, 0x03, 0x04, 0x10, 0x12, 0x13][next(7) as usize]][..],
            &input,
        ]
        .concat();
        match mock.call(ALICE, market, 0, &input) {
            Ok(_) => successes += 1,
            Err(failed) => assert!(
                known.contains(&&failed.message()[..]),
                "{input:?}: {}",
                failed.message()
            ),
        }
    }
    assert!(successes > 20, "{successes} of them were calls");
}
