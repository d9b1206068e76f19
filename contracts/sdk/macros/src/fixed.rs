//! `#[derive(Fixed)]`.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Data, DataEnum, DeriveInput, Fields, FieldsNamed};

use crate::attributes::plain;
use crate::types;

pub fn expand(item: TokenStream) -> syn::Result<TokenStream> {
    let input: DeriveInput = syn::parse2(item)?;
    if !input.generics.params.is_empty() {
        return Err(syn::Error::new_spanned(
            &input.generics,
            "a value of fixed length cannot be generic",
        ));
    }
    let name = plain(&input.ident);
    if !name.starts_with(|first: char| first.is_ascii_uppercase())
        || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    {
        return Err(syn::Error::new(
            input.ident.span(),
            "interfaces name this type: ASCII letters and digits, a capital first",
        ));
    }
    match &input.data {
        Data::Struct(structure) => match &structure.fields {
            Fields::Named(fields) => structure_of(&input.ident, &name, fields),
            _ => Err(syn::Error::new(
                input.ident.span(),
                "the fields of a value have names: the interface lists them",
            )),
        },
        Data::Enum(enumeration) => enumeration_of(&input.ident, &name, enumeration),
        Data::Union(_) => Err(syn::Error::new(input.ident.span(), "a union has no encoding")),
    }
}

fn structure_of(ident: &Ident, name: &str, fields: &FieldsNamed) -> syn::Result<TokenStream> {
    if fields.named.is_empty() {
        return Err(syn::Error::new(
            ident.span(),
            "a value has at least one byte: a list of values without any could have any length",
        ));
    }
    for field in &fields.named {
        types::check(&field.ty)?;
        if types::is_variable(&field.ty) {
            return Err(syn::Error::new_spanned(&field.ty, "this has no fixed length"));
        }
    }
    let names: Vec<_> = fields
        .named
        .iter()
        .filter_map(|field| field.ident.as_ref())
        .collect();
    let texts: Vec<_> = names.iter().map(|name| plain(name)).collect();
    let kinds: Vec<_> = fields.named.iter().map(|field| &field.ty).collect();
    let lengths: Vec<_> = kinds
        .iter()
        .map(|kind| quote_spanned!(kind.span() => <#kind as ::millrace_contract::Fixed>::LENGTH))
        .collect();
    Ok(quote! {
        impl ::millrace_contract::Fixed for #ident {
            type Bytes = [u8; 0 #(+ #lengths)*];
            const ZERO: Self::Bytes = [0; 0 #(+ #lengths)*];

            fn to_bytes(self) -> Self::Bytes {
                let mut __bytes = Self::ZERO;
                let mut __at = 0;
                #(::millrace_contract::encoding::parts::put(&mut __bytes, &mut __at, self.#names);)*
                let _ = __at;
                __bytes
            }

            fn from_bytes(__bytes: Self::Bytes) -> ::core::option::Option<Self> {
                let mut __at = 0;
                ::core::option::Option::Some(Self {
                    #(#names: ::millrace_contract::encoding::parts::take(&__bytes, &mut __at)?),*
                })
            }
        }

        #[cfg(not(target_os = "none"))]
        impl ::millrace_contract::interface::Described for #ident {
            fn describe(
                __types: &mut ::millrace_contract::interface::Definitions,
            ) -> ::millrace_contract::interface::Type {
                let __fields = ::std::vec![
                    #(::millrace_contract::interface::field::<#kinds>(#texts, __types)),*
                ];
                ::millrace_contract::interface::define(
                    __types,
                    ::millrace_contract::interface::Definition::Struct { name: #name.into(), fields: __fields },
                )
            }
        }
    })
}

fn enumeration_of(ident: &Ident, name: &str, enumeration: &DataEnum) -> syn::Result<TokenStream> {
    for variant in &enumeration.variants {
        if !matches!(variant.fields, Fields::Unit) {
            let text = "variants of a value of fixed length have no fields";
            return Err(syn::Error::new_spanned(&variant.fields, text));
        }
        if let Some((_, value)) = &variant.discriminant {
            let text = "variants are encoded by their place, from 0 on: they have no numbers of their own";
            return Err(syn::Error::new_spanned(value, text));
        }
    }
    let variants: Vec<_> = enumeration
        .variants
        .iter()
        .map(|variant| &variant.ident)
        .collect();
    if variants.is_empty() || variants.len() > 256 {
        return Err(syn::Error::new(
            ident.span(),
            "an enumeration has 1 to 256 variants: it is one byte",
        ));
    }
    let texts = variants.iter().map(|variant| plain(variant));
    let places = (0..=u8::MAX).take(variants.len());
    Ok(quote! {
        impl ::millrace_contract::Fixed for #ident {
            type Bytes = [u8; 1];
            const ZERO: Self::Bytes = [0];

            fn to_bytes(self) -> Self::Bytes {
                [self as u8]
            }

            fn from_bytes([__byte]: Self::Bytes) -> ::core::option::Option<Self> {
                ::core::option::Option::Some(match __byte {
                    #(#places => Self::#variants,)*
                    _ => return ::core::option::Option::None,
                })
            }
        }

        #[cfg(not(target_os = "none"))]
        impl ::millrace_contract::interface::Described for #ident {
            fn describe(
                __types: &mut ::millrace_contract::interface::Definitions,
            ) -> ::millrace_contract::interface::Type {
                ::millrace_contract::interface::define(
                    __types,
                    ::millrace_contract::interface::Definition::Enum {
                        name: #name.into(),
                        variants: ::std::vec![#(#texts.into()),*],
                    },
                )
            }
        }
    })
}

#[cfg(test)]
mod tests;
