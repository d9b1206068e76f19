//! `#[derive(Event)]`.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Attribute, Data, DeriveInput, Field, Fields, GenericParam};

use crate::attributes::{plain, snake_case, text};
use crate::types;

/// Topics beside the event's name.
const MAX_TOPICS: usize = 3;

/// Bytes of a topic.
const TOPIC_BYTES: usize = 32;

pub fn expand(item: TokenStream) -> syn::Result<TokenStream> {
    let input: DeriveInput = syn::parse2(item)?;
    let fields = fields(&input)?;
    let (topics, data): (Vec<&Field>, Vec<&Field>) = fields.into_iter().partition(|field| is_topic(field));
    if let Some(extra) = topics.get(MAX_TOPICS) {
        return Err(syn::Error::new_spanned(
            extra,
            "a log has four topics at most, and the first is the event's name",
        ));
    }
    if let Some(topic) = topics.iter().find(|topic| types::is_variable(&topic.ty)) {
        return Err(syn::Error::new_spanned(
            &topic.ty,
            "a topic has 32 bytes: log the hash of what can be longer",
        ));
    }
    let name = name(&input.attrs, &input.ident)?;
    Ok(generate(&input, &name, &topics, &data))
}

/// The first topic as text: the structure's name in snake case, or another that is given.
pub fn name(attributes: &[Attribute], ident: &Ident) -> syn::Result<String> {
    let given = text(attributes, "event")?;
    let (name, span) = match &given {
        Some(given) => (given.value(), given.span()),
        None => (snake_case(&plain(ident)), ident.span()),
    };
    if !name.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Err(syn::Error::new(
            span,
            "an event's name is printable ASCII: give it one by `#[event(\"name\")]`",
        ));
    }
    if !(1..=TOPIC_BYTES).contains(&name.len()) {
        return Err(syn::Error::new(
            span,
            "an event's name has 1 to 32 bytes: give it one by `#[event(\"name\")]`",
        ));
    }
    Ok(name)
}

fn is_topic(field: &Field) -> bool {
    field
        .attrs
        .iter()
        .any(|attribute| attribute.path().is_ident("topic"))
}

fn fields(input: &DeriveInput) -> syn::Result<Vec<&Field>> {
    let Data::Struct(structure) = &input.data else {
        return Err(syn::Error::new(input.ident.span(), "an event is a structure"));
    };
    let is_type = |parameter: &&GenericParam| !matches!(parameter, GenericParam::Lifetime(_));
    if let Some(parameter) = input.generics.params.iter().find(is_type) {
        return Err(syn::Error::new_spanned(
            parameter,
            "an event's fields have one type each, which the interface lists: it cannot be generic",
        ));
    }
    for field in &structure.fields {
        types::check(&field.ty)?;
    }
    match &structure.fields {
        Fields::Named(fields) => Ok(fields.named.iter().collect()),
        Fields::Unit => Ok(Vec::new()),
        Fields::Unnamed(fields) => Err(syn::Error::new_spanned(
            fields,
            "an event's fields have names: the interface lists them",
        )),
    }
}

fn generate(input: &DeriveInput, name: &str, topics: &[&Field], data: &[&Field]) -> TokenStream {
    let ident = &input.ident;
    let (generics, arguments, condition) = input.generics.split_for_impl();
    let topic_values = topics.iter().map(|field| {
        let ident = &field.ident;
        quote_spanned!(field.ty.span() => ::millrace_contract::event::topic(self.#ident))
    });
    let emit = data_of(data);
    let describe = |fields: &[&Field]| {
        let fields = fields.iter().map(|field| {
            let (name, kind) = (field.ident.as_ref().map(plain), &field.ty);
            quote_spanned!(kind.span() => ::millrace_contract::interface::field::<#kind>(#name, __types))
        });
        quote!(::std::vec![#(#fields),*])
    };
    let (described_topics, described_data) = (describe(topics), describe(data));
    quote! {
        impl #generics ::millrace_contract::event::Event for #ident #arguments #condition {
            const NAME: &'static str = #name;

            fn emit(self) {
                const __NAME: [u8; 32] = ::millrace_contract::host::topic(#name);
                let __topics = [__NAME, #(#topic_values),*];
                #emit
            }
        }

        impl #generics #ident #arguments #condition {
            /// Logs the event.
            #[allow(dead_code)]
            pub fn emit(self) {
                ::millrace_contract::event::Event::emit(self);
            }
        }

        #[cfg(not(target_os = "none"))]
        impl #generics ::millrace_contract::interface::DescribedEvent for #ident #arguments #condition {
            fn describe(
                __types: &mut ::millrace_contract::interface::Definitions,
            ) -> ::millrace_contract::interface::Event {
                ::millrace_contract::interface::Event {
                    name: #name.into(),
                    topics: #described_topics,
                    data: #described_data,
                }
            }
        }
    }
}

/// Encodes the data, in an array where its length is known, and logs.
fn data_of(data: &[&Field]) -> TokenStream {
    let names: Vec<_> = data.iter().map(|field| &field.ident).collect();
    let kinds: Vec<_> = data.iter().map(|field| &field.ty).collect();
    if data.iter().any(|field| types::is_variable(&field.ty)) {
        return quote! {
            let mut __data = ::millrace_contract::Bytes::new();
            #(::millrace_contract::encoding::Encode::encode(&self.#names, &mut __data);)*
            ::millrace_contract::host::log(&__topics, &__data);
        };
    }
    quote! {
        let mut __data = [0; 0 #(+ <#kinds as ::millrace_contract::Fixed>::LENGTH)*];
        let mut __at = 0;
        #(::millrace_contract::encoding::parts::put(&mut __data, &mut __at, self.#names);)*
        let _ = __at;
        ::millrace_contract::host::log(&__topics, &__data);
    }
}

#[cfg(test)]
mod tests;
