"""OpenSearch: passages, searched by words and by meaning."""
