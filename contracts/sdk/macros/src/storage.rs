//! `#[storage]`: places in storage, and that none meets another.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Fields, ItemStruct, Type};

use crate::attributes::{plain, text};

/// The longest name or prefix, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// The longest key, in bytes: `MAX_MAP_KEY_BYTES` of the SDK.
const MAX_KEY_BYTES: usize = 128;

/// A place as far as keys go.
pub struct Place {
    field: Ident,
    kind: Kind,
    key: String,
    span: proc_macro2::Span,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One key.
    Single,
    /// Keys that begin with the prefix.
    Map,
    /// One key, and keys that begin with it and `/`.
    Vector,
}

impl Place {
    /// What keys of several entries begin with.
    fn prefix(&self) -> Option<String> {
        match self.kind {
            Kind::Single => None,
            Kind::Map => Some(self.key.clone()),
            Kind::Vector => Some(format!("{}/", self.key)),
        }
    }

    /// The key of one value.
    fn single(&self) -> Option<&str> {
        (self.kind != Kind::Map).then_some(&self.key)
    }

    fn meets(&self, other: &Self) -> bool {
        let inside = |place: &Self, prefix: Option<String>| {
            prefix.is_some_and(|prefix| {
                place.single().is_some_and(|key| key.starts_with(&prefix))
                    || place.prefix().is_some_and(|inner| inner.starts_with(&prefix))
            })
        };
        let same = self.single().is_some() && self.single() == other.single();
        same || inside(self, other.prefix()) || inside(other, self.prefix())
    }
}

pub fn expand(arguments: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    if !arguments.is_empty() {
        return Err(syn::Error::new_spanned(
            arguments,
            "`#[storage]` takes no arguments",
        ));
    }
    let mut structure: ItemStruct = syn::parse2(item).map_err(|error| {
        syn::Error::new(
            error.span(),
            "`#[storage]` stands before a structure whose fields are places",
        )
    })?;
    let places = places(&structure)?;
    let mut errors = Vec::new();
    for (index, place) in places.iter().enumerate() {
        errors.extend(collision(&places[..index], place));
    }
    if let Some(error) = errors.into_iter().reduce(|mut all, error| {
        all.combine(error);
        all
    }) {
        return Err(error);
    }
    for field in &mut structure.fields {
        field.attrs.retain(|attribute| !attribute.path().is_ident("key"));
    }
    Ok(generate(&structure, &places))
}

fn generate(structure: &ItemStruct, places: &[Place]) -> TokenStream {
    let (name, visibility) = (&structure.ident, &structure.vis);
    let constant = format_ident!(
        "{}",
        crate::attributes::snake_case(&plain(name)).to_uppercase(),
        span = name.span()
    );
    let documented = format!("The places of [`{name}`].");
    let fields: Vec<_> = places.iter().map(|place| &place.field).collect();
    let kinds: Vec<&Type> = structure.fields.iter().map(|field| &field.ty).collect();
    let keys = places
        .iter()
        .map(|place| proc_macro2::Literal::byte_string(place.key.as_bytes()));
    let names = places.iter().map(|place| plain(&place.field));
    let prefixes = places
        .iter()
        .map(|place| place.prefix().unwrap_or_else(|| place.key.clone()));
    let lengths = places
        .iter()
        .zip(&kinds)
        .filter(|(place, _)| place.kind == Kind::Map);
    let lengths = lengths.map(|(place, kind)| {
        let bytes = place.key.len();
        let text = format!(
            "entries of `{}` have keys of more than {MAX_KEY_BYTES} bytes, prefix included: hash parts of them",
            place.field
        );
        quote_spanned! { kind.span() =>
            const _: () = ::core::assert!(#bytes + <#kind>::KEY_BYTES <= #MAX_KEY_BYTES, #text);
        }
    });
    quote! {
        #structure

        #(#lengths)*

        #[doc = #documented]
        #visibility const #constant: #name = #name {
            #(#fields: <#kinds>::new(#keys)),*
        };

        #[cfg(not(target_os = "none"))]
        impl ::millrace_contract::interface::DescribedStorage for #name {
            fn describe(
                __types: &mut ::millrace_contract::interface::Definitions,
            ) -> ::std::vec::Vec<::millrace_contract::interface::Place> {
                ::std::vec![
                    #(::millrace_contract::interface::place::<#kinds>(#names, #prefixes, __types)),*
                ]
            }
        }
    }
}

/// The places that a structure declares.
pub fn places(structure: &ItemStruct) -> syn::Result<Vec<Place>> {
    if !structure.generics.params.is_empty() {
        return Err(syn::Error::new_spanned(
            &structure.generics,
            "places in storage are known before the contract runs: this structure cannot be generic",
        ));
    }
    let Fields::Named(fields) = &structure.fields else {
        return Err(syn::Error::new_spanned(
            &structure.ident,
            "places in storage have names: `struct Storage { total: Item<u128> }`",
        ));
    };
    let mut places = Vec::new();
    for field in &fields.named {
        let Some(name) = &field.ident else { continue };
        if let Some(condition) = field.attrs.iter().find(|of| of.path().is_ident("cfg")) {
            return Err(syn::Error::new_spanned(
                condition,
                "places are the same in every build: put `#[cfg]` before a structure of its own",
            ));
        }
        let kind = kind(&field.ty)?;
        let given = text(&field.attrs, "key")?;
        let (key, span) = match &given {
            Some(literal) => (literal.value(), literal.span()),
            None => {
                let end = if kind == Kind::Map { "/" } else { "" };
                (plain(name) + end, name.span())
            }
        };
        if key.len() > MAX_NAME_BYTES || key.is_empty() {
            let text = format!("a key or prefix has 1 to {MAX_NAME_BYTES} bytes");
            return Err(syn::Error::new(span, text));
        }
        places.push(Place {
            field: name.clone(),
            kind,
            key,
            span,
        });
    }
    Ok(places)
}

fn kind(kind: &Type) -> syn::Result<Kind> {
    let name = match kind {
        Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
        _ => None,
    };
    match name.as_deref() {
        Some("Item" | "Counter" | "Blob" | "Text") => Ok(Kind::Single),
        Some("Map") => Ok(Kind::Map),
        Some("Vector") => Ok(Kind::Vector),
        _ => Err(syn::Error::new(
            kind.span(),
            "a place in storage is an `Item`, `Map`, `Vector`, `Counter`, `Blob` or `Text`",
        )),
    }
}

fn collision(before: &[Place], place: &Place) -> Option<syn::Error> {
    let other = before.iter().find(|other| other.meets(place))?;
    Some(syn::Error::new(
        place.span,
        format!(
            "keys of `{}` ({:?}) could be those of `{}` ({:?}): give one another `#[key(\"..\")]`",
            place.field, place.key, other.field, other.key
        ),
    ))
}

/// What is wrong with places `after` next to those `before`.
pub fn collisions(before: &[Place], after: &[Place]) -> Vec<syn::Error> {
    after
        .iter()
        .filter_map(|place| collision(before, place))
        .collect()
}

#[cfg(test)]
mod tests;
