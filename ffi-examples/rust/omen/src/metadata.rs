//! Metadata of items: JSON objects on their way in, and the fields that are known.
// SPDX-License-Identifier: Apache-2.0
use crate::codes::codes;
use crate::collection::Collection;
use crate::error::{check, Result};
use libomendb_sys as sys;
use std::ffi::CStr;
use std::iter::FromIterator;
use std::mem::zeroed;

/// A JSON object for each item of a batch, as text: from `serde_json` or written by hand. The library
/// checks it when the batch is added, and names item, field and byte of what is wrong.
///
/// ```
/// let metadata: omen::Metadata = [r#"{"year": 1953}"#, r#"{"year": 1927, "genres": ["War"]}"#]
///     .iter()
///     .collect();
/// assert_eq!(metadata.len(), 2);
/// ```
///
/// Numbers, strings, bools and arrays of one of them become fields by themselves; [`Field`] declares
/// the others. null is the same as no field. Nested objects are refused.
#[derive(Clone, Debug)]
pub struct Metadata {
    bytes: Vec<u8>,
    offsets: Vec<i64>,
}

impl Metadata {
    /// None yet.
    pub fn new() -> Self {
        Metadata { bytes: Vec::new(), offsets: vec![0] }
    }

    /// The next item's object; "" is the same as "{}".
    pub fn push(&mut self, json: &str) {
        self.bytes.extend_from_slice(json.as_bytes());
        self.offsets.push(self.bytes.len() as i64);
    }

    /// For how many items.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether it is for none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Valid as long as self is neither changed nor dropped.
    pub(crate) fn raw(&self) -> sys::omen_column {
        // The pointer of an empty Vec is not NULL, which would mean "no metadata".
        sys::omen_column {
            data: self.bytes.as_ptr().cast(),
            offsets: self.offsets.as_ptr().cast(),
            offset_bits: 64,
            width: 0,
        }
    }
}

impl Default for Metadata {
    fn default() -> Self {
        Metadata::new()
    }
}

impl<S: AsRef<str>> FromIterator<S> for Metadata {
    fn from_iter<I: IntoIterator<Item = S>>(objects: I) -> Self {
        let mut metadata = Metadata::new();
        objects.into_iter().for_each(|json| metadata.push(json.as_ref()));
        metadata
    }
}

codes! {
    /// Type of a field. It never changes.
    FieldType: u32 {
        /// UTF-8, compared by its bytes.
        String = sys::OMEN_TYPE_STRING,
        /// 64-bit integers.
        Int64 = sys::OMEN_TYPE_INT64,
        /// 64-bit floating point.
        Double = sys::OMEN_TYPE_DOUBLE,
        /// true or false.
        Bool = sys::OMEN_TYPE_BOOL,
        /// RFC 3339 with a zone, kept in microseconds.
        Time = sys::OMEN_TYPE_TIME,
        /// In JSON base64.
        Bytes = sys::OMEN_TYPE_BYTES,
        /// In JSON `{"lat": y, "lon": x}`, degrees.
        Geo = sys::OMEN_TYPE_GEO,
        /// A string whose words are indexed.
        Text = sys::OMEN_TYPE_TEXT,
        /// Arrays.
        Strings = sys::OMEN_TYPE_ARRAY | sys::OMEN_TYPE_STRING,
        /// Arrays.
        Int64s = sys::OMEN_TYPE_ARRAY | sys::OMEN_TYPE_INT64,
        /// Arrays.
        Doubles = sys::OMEN_TYPE_ARRAY | sys::OMEN_TYPE_DOUBLE,
        /// Arrays.
        Bools = sys::OMEN_TYPE_ARRAY | sys::OMEN_TYPE_BOOL,
        /// Arrays.
        Times = sys::OMEN_TYPE_ARRAY | sys::OMEN_TYPE_TIME,
        /// Arrays.
        BytesArrays = sys::OMEN_TYPE_ARRAY | sys::OMEN_TYPE_BYTES,
    }
}

/// A field of the metadata, declared or seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    name: String,
    kind: FieldType,
    weight: f32,
    language: String,
    flags: u32,
}

impl Field {
    /// A field; a text is English, stemmed, with its stop words and the weight 1.
    pub fn new(name: &str, kind: FieldType) -> Self {
        let (name, language) = (name.to_string(), String::new());
        Field { name, kind, weight: 0.0, language, flags: 0 }
    }

    /// Text: of its score.
    pub fn weight(mut self, weight: f32) -> Self {
        self.weight = weight;
        self
    }

    /// Text: a Snowball algorithm, such as "german".
    pub fn language(mut self, language: &str) -> Self {
        self.language = language.to_string();
        self
    }

    /// Text: leave out Lucene's 33 English stop words.
    pub fn without_stop_words(mut self) -> Self {
        self.flags |= sys::OMEN_FIELD_STOP_WORDS;
        self
    }

    /// Text: words as they are, folded.
    pub fn without_stemming(mut self) -> Self {
        self.flags |= sys::OMEN_FIELD_NO_STEMMING;
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its type.
    pub fn field_type(&self) -> FieldType {
        self.kind
    }

    /// A text that does not fit stays without its NUL at the end, which the library refuses.
    pub(crate) fn raw(&self) -> sys::omen_field {
        // SAFETY: zero is a valid omen_field.
        let mut raw: sys::omen_field = unsafe { zeroed() };
        copy(&mut raw.name, &self.name);
        copy(&mut raw.language, &self.language);
        raw.type_ = self.kind.into();
        raw.flags = self.flags;
        raw.weight = self.weight;
        raw
    }

    fn from_raw(raw: &sys::omen_field) -> Self {
        // SAFETY: the library ends both texts with a NUL inside their arrays.
        let text = |at: *const sys::c_char| unsafe { CStr::from_ptr(at) }.to_string_lossy();
        Field {
            name: text(raw.name.as_ptr()).into_owned(),
            kind: raw.type_.into(),
            weight: raw.weight,
            language: text(raw.language.as_ptr()).into_owned(),
            flags: raw.flags,
        }
    }
}

/// A NUL inside would cut the text short without a word: it becomes a character that is refused.
fn copy(to: &mut [sys::c_char], text: &str) {
    let bytes = text.bytes().map(|byte| byte.max(1));
    to.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte as sys::c_char);
}

impl Collection {
    /// Declares more fields. One that is there as it is declared is fine; otherwise it is
    /// [`Status::AlreadyExists`](crate::Status::AlreadyExists), and none is added.
    pub fn declare_fields(&self, fields: &[Field]) -> Result<()> {
        let raw: Vec<sys::omen_field> = fields.iter().map(Field::raw).collect();
        // SAFETY: the fields live through the call.
        check(|err| unsafe {
            sys::omen_declare_fields(self.raw(), raw.as_ptr(), raw.len() as u64, err)
        })
    }

    /// The fields of the metadata, in the order of their appearance.
    pub fn fields(&self) -> Result<Vec<Field>> {
        const MOST: usize = sys::OMEN_MAX_FIELDS as usize;
        // SAFETY: zero is a valid omen_field.
        let mut raw: Vec<sys::omen_field> = vec![unsafe { zeroed() }; MOST];
        let mut count = 0;
        // SAFETY: `raw` has room for MOST fields.
        check(|err| unsafe {
            sys::omen_list_fields(self.raw(), raw.as_mut_ptr(), MOST as u64, &mut count, err)
        })?;
        Ok(raw.iter().take(count as usize).map(Field::from_raw).collect())
    }
}
