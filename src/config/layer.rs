//! Settings in layers: what the upper one does not say, the next one does. Merged here, once for all kinds of settings.

/// A value of a layer, or a whole layer.
pub(crate) trait Layer {
    /// This, and beneath it what `below` says.
    fn or(self, below: Self) -> Self;
}

impl<T> Layer for Option<T> {
    fn or(self, below: Option<T>) -> Option<T> {
        Option::or(self, below)
    }
}

/// A list wins as a whole.
impl<T> Layer for Vec<T> {
    fn or(self, below: Vec<T>) -> Vec<T> {
        if self.is_empty() { below } else { self }
    }
}

/// A flag is given or not.
impl Layer for bool {
    fn or(self, below: bool) -> bool {
        self || below
    }
}

/// A struct whose fields are values of a layer, and that is one.
macro_rules! layer {
    (
        $(#[$about:meta])*
        $visibility:vis struct $name:ident {
            $($(#[$field_about:meta])* $field_visibility:vis $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$about])*
        $visibility struct $name {
            $($(#[$field_about])* $field_visibility $field: $type,)*
        }

        impl $crate::config::layer::Layer for $name {
            fn or(self, below: Self) -> Self {
                $name { $($field: $crate::config::layer::Layer::or(self.$field, below.$field),)* }
            }
        }
    };
}

pub(crate) use layer;

#[cfg(test)]
mod tests {
    use super::*;

    layer! {
        #[derive(PartialEq, Debug, Default)]
        struct Both {
            upper: Option<u8>,
            list: Vec<u8>,
            flag: bool,
        }
    }

    #[test]
    fn what_the_upper_layer_does_not_say_the_next_one_does() {
        let upper = Both { upper: Some(1), list: vec![], flag: false };
        let lower = Both { upper: Some(2), list: vec![3, 4], flag: true };
        assert_eq!(upper.or(lower), Both { upper: Some(1), list: vec![3, 4], flag: true });
        let (full, other) = (Both { list: vec![1], ..Both::default() }, Both { list: vec![2], ..Both::default() });
        assert_eq!(full.or(other).list, [1]);
    }
}
