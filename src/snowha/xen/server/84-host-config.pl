package Snow::Host;
# What a domain's config says: all that a start asks of this package.
use strict;

# The images that a domain's config names to write to, and the domain's name: what is only read (a CD, an image of several domains)
# may be another's as well. Read by another process: the config is on storage that may be gone.
sub config {
    my ($path) = @_;
    my ($text, $why) = Snow::Common::guarded(10, sub { Snow::Common::read_file($path) // die "$path cannot be read: $!\n" });
    return (undef, $why) unless defined $text;
    my $string = qr/"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/;
    $text =~ s/($string)|#[^\n]*/$1 \/\/ ''/ge;
    my ($name, @disks);
    while ($text =~ /(?:^|;)[ \t]*(?:name[ \t]*=[ \t]*($string)|disk[ \t]*(\+?)=[ \t]*\[((?:[^\]"']|$string)*)\])/mg) {
        if (defined $1) {
            $name = substr $1, 1, -1;
        } else {
            my ($adds, $list) = ($2, $3);
            @disks = () unless $adds;
            push @disks, map { substr $_, 1, -1 } $list =~ /$string/g;
        }
    }
    my @written = grep { !/(?:\A|,)\s*(?:(?:access=)?ro?|(?:devtype=)?cdrom)\s*(?:,|\z)|:cdrom\s*(?:,|\z)/ } @disks;
    my @images = map { m{(?:\A|,)\s*target=(/.*)\z}s || m{(?:\A|[,:])\s*(/[^,]+)} ? Snow::Common::plain($1) : () } @written;
    return ({ name => $name, images => \@images }, undef);
}
