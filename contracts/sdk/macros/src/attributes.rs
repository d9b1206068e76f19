//! What several macros read from attributes, and how they name things.

use syn::{Attribute, Expr, ExprLit, Lit, LitStr, Meta};

/// The doc comment: lines without the space before them, joined by line feeds, trimmed.
pub fn docs(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit {
                lit: Lit::Str(line), ..
            }) => {
                let line = line.value();
                Some(line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned())
            }
            _ => None,
        },
        _ => None,
    });
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// The text of `#[name("text")]`, if there is that attribute.
pub fn text(attributes: &[Attribute], name: &str) -> syn::Result<Option<LitStr>> {
    let mut found = None;
    for attribute in attributes {
        if !attribute.path().is_ident(name) {
            continue;
        }
        let text: LitStr = attribute.parse_args().map_err(|error| {
            syn::Error::new(error.span(), format!("this is written `#[{name}(\"text\")]`"))
        })?;
        if found.replace(text).is_some() {
            return Err(syn::Error::new_spanned(
                attribute,
                format!("there is a `{name}` already"),
            ));
        }
    }
    Ok(found)
}

/// Whether `#[derive(.., name, ..)]` is among the attributes.
pub fn derives(attributes: &[Attribute], name: &str) -> bool {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("derive"))
        .any(|attribute| {
            let mut found = false;
            // A derive that cannot be read is the compiler's to complain about.
            let _ = attribute.parse_nested_meta(|meta| {
                let last = meta.path.segments.last();
                found |= last.is_some_and(|segment| segment.ident == name);
                Ok(())
            });
            found
        })
}

/// `CamelCase` as `snake_case`.
pub fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    let letters: Vec<char> = name.chars().collect();
    for (index, letter) in letters.iter().enumerate() {
        let after_small = index > 0 && !letters[index - 1].is_uppercase() && letters[index - 1] != '_';
        let before_small = letters.get(index + 1).is_some_and(|next| next.is_lowercase());
        if letter.is_uppercase() && index > 0 && letters[index - 1] != '_' && (after_small || before_small) {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

/// An identifier's text, without the `r#` of raw ones.
pub fn plain(identifier: &proc_macro2::Ident) -> String {
    let text = identifier.to_string();
    text.strip_prefix("r#").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_structures_become_names_of_events() {
        for (name, snake) in [
            ("Transfer", "transfer"),
            ("BidPlaced", "bid_placed"),
            ("NFTMinted", "nft_minted"),
            ("Pool2Opened", "pool2_opened"),
            ("A", "a"),
            ("Already_apart", "already_apart"),
        ] {
            assert_eq!(snake_case(name), snake);
        }
    }
}
