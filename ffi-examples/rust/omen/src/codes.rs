//! The enumerations of the C interface. Numbers that this crate does not know become `Other`.
// SPDX-License-Identifier: Apache-2.0
use libomendb_sys as sys;

/// Declares an enumeration with its numbers and the conversions both ways.
macro_rules! codes {
    ($(#[$meta:meta])* $name:ident: $raw:ty { $($(#[$vmeta:meta])* $variant:ident = $value:expr,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$vmeta])* $variant,)+
            /// A number that a newer library has given.
            Other($raw),
        }

        impl From<$raw> for $name {
            fn from(code: $raw) -> Self {
                $(if code == $value {
                    return $name::$variant;
                })+
                $name::Other(code)
            }
        }

        impl From<$name> for $raw {
            fn from(code: $name) -> Self {
                match code {
                    $($name::$variant => $value,)+
                    $name::Other(other) => other,
                }
            }
        }
    };
}
pub(crate) use codes;

codes! {
    /// How near two vectors are. A smaller distance is nearer, whichever it is.
    Metric: u32 {
        /// The squared Euclidean distance.
        L2 = sys::OMEN_L2,
        /// Minus the inner product.
        InnerProduct = sys::OMEN_IP,
        /// One minus the cosine; a zero vector has distance 1 to everything.
        Cosine = sys::OMEN_COSINE,
    }
}

codes! {
    /// Type of the elements of a vector.
    DataType: u32 {
        /// 32-bit floating point.
        F32 = sys::OMEN_F32,
        /// 16-bit floating point (IEEE 754 binary16).
        F16 = sys::OMEN_F16,
        /// Signed bytes.
        I8 = sys::OMEN_I8,
        /// Unsigned bytes.
        U8 = sys::OMEN_U8,
    }
}

codes! {
    /// What identifies an item of a collection.
    IdType: u32 {
        /// A number; it is also the key.
        U64 = sys::OMEN_ID_U64,
        /// Sixteen bytes.
        Uuid = sys::OMEN_ID_UUID,
        /// UTF-8 text of at most 512 bytes.
        String = sys::OMEN_ID_STRING,
    }
}

codes! {
    /// What the graph is traversed with.
    Quantization: u32 {
        /// Bytes, with a second look at the survivors in full precision.
        Sq8 = sys::OMEN_QUANT_SQ8,
        /// The vectors as they are.
        None = sys::OMEN_QUANT_NONE,
    }
}

codes! {
    /// Whether vectors are rotated before they are quantised.
    Rotation: u32 {
        /// The library decides on a sample.
        Auto = sys::OMEN_ROTATE_AUTO,
        /// Never.
        Off = sys::OMEN_ROTATE_OFF,
        /// Always.
        On = sys::OMEN_ROTATE_ON,
    }
}

codes! {
    /// Where a search enters the graph.
    Entry: u32 {
        /// The library decides.
        Auto = sys::OMEN_ENTRY_AUTO,
        /// Sampled seeds.
        Seeds = sys::OMEN_ENTRY_SEEDS,
        /// A hierarchy above the graph.
        Hierarchy = sys::OMEN_ENTRY_HIERARCHY,
    }
}

codes! {
    /// How far a write must be before it is acknowledged. A write may only raise the level.
    Durability: u32 {
        /// The level of the collection.
        Default = sys::OMEN_DURABILITY_DEFAULT,
        /// Accepted.
        None = sys::OMEN_DURABILITY_NONE,
        /// Synced on a timer.
        Interval = sys::OMEN_DURABILITY_INTERVAL,
        /// Synced before the call returns.
        Batch = sys::OMEN_DURABILITY_BATCH,
    }
}
