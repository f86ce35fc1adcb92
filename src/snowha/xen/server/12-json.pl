package Snow::Common;
use strict;

# JSON of strings, numbers as strings, lists and tables: all that is said to a program.
sub json {
    my ($value) = @_;
    return 'null' unless defined $value;
    return '[' . join(', ', map { json($_) } @$value) . ']' if ref $value eq 'ARRAY';
    return '{' . join(', ', map { json($_) . ': ' . json($value->{$_}) } sort keys %$value) . '}' if ref $value eq 'HASH';
    return $$value ? 'true' : 'false' if ref $value eq 'SCALAR';
    my $text = "$value";
    $text =~ s/(["\\])/\\$1/g;
    $text =~ s/([\x00-\x1f\x7f])/sprintf '\\u%04x', ord $1/ge;
    return "\"$text\"";
}
