-- Content that an operation joined from several fragments, in a row of its own. Writers of
-- genai_content: store, from genai.fragments.v1 and genai.operations.v1.
ALTER TABLE genai_content
  COMMENT COLUMN fragment_id 'Hash of the span\'s or log record\'s bytes, 16 hex characters; operation where several were joined',
  COMMENT COLUMN revision '0 for a fragment, which never changes; the operation\'s for joined content: the highest wins',
  COMMENT COLUMN signal 'span, log, or operation: joined from several fragments';
